"""The small model that is shipped in `model/`."""
