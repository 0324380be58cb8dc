"""Hashes of identities: three, each for a use of its own. Values of two of them are on disks."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["numbers", "rounded", "text_numbers"]

Tokens = NDArray[np.float32]

_TEXT_DIGITS = 10


def rounded(tokens: Tokens) -> str:
    """The public hash, `Identity.sha256`: an identity kept in F32 and its F16 copy agree.

    Args:
        tokens: (tokens, width).

    Returns:
        SHA-256, in hexadecimal, of the shape (two little-endian uint32) and the tokens rounded to
        little-endian float16.
    """
    with np.errstate(over="ignore", under="ignore"):
        halves = tokens.astype("<f2")
    digest = hashlib.sha256(np.asarray(halves.shape, "<u4").tobytes())
    digest.update(halves.tobytes())
    return digest.hexdigest()


def numbers(tokens: Tokens, uncond_tokens: Tokens | None = None) -> str:
    """Hash of the very numbers, for what must tell an identity from its rounded copy.

    The store of identities, a batch's keys and an engine's slots know identities by it.

    Args:
        tokens, uncond_tokens: (tokens, width), of one shape.

    Returns:
        SHA-256, in hexadecimal, of the shape in words and the tokens in little-endian float32.
    """
    return _of_numbers(repr(tokens.shape).encode(), tokens, uncond_tokens)


def text_numbers(tokens: Tokens, uncond_tokens: Tokens | None = None) -> str:
    """Hash of the very numbers, as it stands in a picture's text beside the public hash.

    Args:
        tokens, uncond_tokens: (tokens, width); None: the unconditional ones took no part.

    Returns:
        The first ten hexadecimal digits of SHA-256 of the tokens in little-endian float32.
    """
    return _of_numbers(b"", tokens, uncond_tokens)[:_TEXT_DIGITS]


def _of_numbers(beginning: bytes, *arrays: Tokens | None) -> str:
    digest = hashlib.sha256(beginning)
    for tokens in arrays:
        if tokens is not None:
            digest.update(tokens.astype("<f4").tobytes())
    return digest.hexdigest()
