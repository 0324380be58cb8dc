"""The compiled library: found, called on its one thread, its devices and its messages."""
