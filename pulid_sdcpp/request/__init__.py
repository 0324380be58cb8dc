"""What is asked for, settled and read."""
