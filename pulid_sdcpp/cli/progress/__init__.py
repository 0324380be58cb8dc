"""What is said while a command runs, and when it ends."""
