from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pulid_sdcpp.identity.hashes import numbers, rounded, text_numbers

EXACT = np.array([[1.0001, 2.0]], np.float32)
HALVES = EXACT.astype("<f2").astype(np.float32)
UNCOND = np.array([[0.0, 1.0]], np.float32)


def test_the_public_one_is_the_same_for_a_rounded_copy() -> None:
    assert rounded(EXACT) == rounded(HALVES)
    shape_and_tokens = bytes([1, 0, 0, 0, 2, 0, 0, 0]) + bytes.fromhex("003c0040")
    assert rounded(EXACT) == hashlib.sha256(shape_and_tokens).hexdigest()


@pytest.mark.parametrize("of", [numbers, text_numbers])
def test_those_of_the_numbers_know_every_number(of: object) -> None:
    assert callable(of)
    assert len({of(EXACT), of(HALVES), of(EXACT, UNCOND), of(EXACT, 2 * UNCOND)}) == 4


def test_only_the_text_s_does_not_know_the_shape() -> None:
    wide, tall = EXACT, EXACT.T
    assert numbers(wide) != numbers(tall)
    assert rounded(wide) != rounded(tall)
    assert text_numbers(wide) == text_numbers(tall)
    assert text_numbers(wide) == hashlib.sha256(wide.tobytes()).hexdigest()[:10]
