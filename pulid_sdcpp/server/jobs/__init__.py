"""Jobs: what they are, on the disk, in line, after a restart, and who follows them."""
