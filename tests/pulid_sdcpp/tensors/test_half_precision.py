"""Float16 to float32: every float16 there is, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from pulid_sdcpp.tensors.half_precision import float32_of_float16

EVERY = np.arange(1 << 16, dtype=np.uint16).view("<f2")


def test_every_number_is_numpy_s() -> None:
    with np.errstate(invalid="ignore"):
        expected = EVERY.astype(np.float32)
    found = float32_of_float16(EVERY)
    assert found.dtype == np.float32
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
def test_one_special_number_among_others_stays_alone(special: float) -> None:
    halves = np.ones((3, 4), "<f2")
    halves[1, 2] = special
    found = float32_of_float16(halves)
    assert np.array_equal(found, halves.astype(np.float32), equal_nan=True)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (), (1,), (2, 3, 4)])
def test_the_shape_stays(shape: tuple[int, ...]) -> None:
    halves = np.full(shape, 0.1, "<f2")
    found = float32_of_float16(halves)
    assert found.shape == shape
    assert np.array_equal(found, halves.astype(np.float32))
    assert not np.shares_memory(found, halves)
