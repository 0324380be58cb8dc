"""The training side of the pocket model; not installed. See README.md."""
