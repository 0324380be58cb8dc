"""Tensor files, read and written by format, whatever is in them."""
