"""Folded identities on the disk."""
