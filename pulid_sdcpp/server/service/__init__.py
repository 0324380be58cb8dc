"""The server without HTTP: takes jobs, has them done, tells how far they are."""
