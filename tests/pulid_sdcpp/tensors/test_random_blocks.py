from __future__ import annotations

import math

import gguf
import numpy as np
import pytest

from pulid_sdcpp.tensors.random_blocks import TYPES, random_matrix
from pulid_sdcpp.tensors.tensor_encoding import ggml_type, stored_bytes
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

SHAPE = (64, 1024)
DEVIATION = 0.02


@pytest.mark.parametrize("dtype", TYPES)
def test_blocks_are_a_valid_matrix_of_the_asked_deviation(dtype: str) -> None:
    packed = random_matrix(dtype, 0, "weight", SHAPE, DEVIATION)
    assert packed.dtype == np.uint8
    assert packed.size == stored_bytes(TensorSpec("weight", SHAPE, dtype))
    values = gguf.quants.dequantize(packed.reshape(SHAPE[0], -1), ggml_type(dtype))
    assert values.shape == SHAPE
    assert np.isfinite(values).all()
    # Five standard errors of a mean; of a deviation the scales' float16 and 6 bits add up to 1 %.
    assert abs(values.mean()) < 5 * DEVIATION / math.sqrt(values.size)
    assert values.std() == pytest.approx(DEVIATION, rel=0.02)


def test_q8_0_has_no_number_that_quantizing_never_gives() -> None:
    blocks = random_matrix("q8_0", 0, "weight", SHAPE, DEVIATION).reshape(-1, 34)
    assert blocks[:, 2:].view(np.int8).min() > -128


def test_every_tensor_has_numbers_of_its_own_and_the_same_again() -> None:
    first = random_matrix("q4_k", 0, "a", SHAPE, DEVIATION)
    assert (first == random_matrix("q4_k", 0, "a", SHAPE, DEVIATION)).all()
    assert (first != random_matrix("q4_k", 0, "b", SHAPE, DEVIATION)).mean() > 0.5


@pytest.mark.parametrize(
    ("dtype", "columns", "words"),
    [("iq4_xs", 256, "q4_k"), ("q4_k", 128, "multiple of 256"), ("q4_0", 40, "multiple of 32")],
)
def test_what_cannot_be_made_is_refused(dtype: str, columns: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        random_matrix(dtype, 0, "weight", (4, columns), DEVIATION)
