"""Sizes of the CLIP-L text encoder, of which the engine knows this one only.

Source: openai/clip-vit-large-patch14; stable-diffusion.cpp, src/clip.hpp.
"""

__all__ = [
    "EMPTY_TYPE",
    "HEADS",
    "HEAD_DIM",
    "LAYERS",
    "MLP_WIDTH",
    "POSITIONS",
    "VOCABULARY",
    "WIDTH",
]

VOCABULARY = 49408
POSITIONS = 77
WIDTH = 768
MLP_WIDTH = 3072
LAYERS = 12
HEADS, HEAD_DIM = 12, 64
EMPTY_TYPE = "q2_k"
"""Of matrices of zeros: 2.6 bits; types with fewer are slower, or some backends lack them."""
