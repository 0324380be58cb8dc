"""Flux: its layout, PuLID's layers in it, and how they are folded."""
