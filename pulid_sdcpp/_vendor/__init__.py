"""What the build installs here: the engine and its binding, private to this package."""
