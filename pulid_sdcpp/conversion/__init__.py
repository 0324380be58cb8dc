"""A model file in another type."""
