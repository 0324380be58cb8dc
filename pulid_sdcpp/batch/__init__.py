"""A file of jobs: read, keyed, made, laid out on a sheet."""
