"""What the user said, made into what the package takes."""
