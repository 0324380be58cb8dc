"""The CPU's kernels for quantized matrices (native/src/pulid_kernels.h), each instruction set.

The definition is a product in float64 with the weights as the gguf package dequantizes them. ggml
rounds each row of inputs to 8 bits, in blocks of 32 or 256, and so do our kernels, in blocks of 32.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from matrix_products import SETS, Product, Products, kernels_here, products_with
from pulid_sdcpp.tensors.random_blocks import random_matrix

pytestmark = pytest.mark.engine

# Offsets of the float16 numbers of a block, by type.
TYPES = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "IQ4_NL": (0,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
}
# (columns, blocks of a row, rows, threads): one block, one row, one group of 16 columns; rows that
# leave 1 to 7 over 16 and 4; more threads than groups.
SHAPES = (
    (16, 1, 1, 1),
    (16, 3, 19, 4),
    (48, 5, 7, 2),
    (80, 1, 37, 3),
    (160, 9, 16, 4),
    (64, 8, 3, 1),
)


def product(dtype: str, columns: int, blocks: int, rows: int, threads: int) -> Product:
    """Rows of very different sizes, and one of zeros."""
    k = blocks * gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[dtype]][0]
    packed = random_matrix(dtype.lower(), 1, f"{columns} {k}", (columns, k), 0.05)
    random = np.random.default_rng(columns + k + rows)
    x = random.normal(size=(rows, k)) * random.choice([1e-3, 1.0, 30.0], size=(rows, 1))
    x[rows // 2] *= rows == 1
    return Product(dtype, packed.reshape(columns, -1), x.astype(np.float32), threads)


PRODUCTS = [product(dtype, *shape) for dtype in TYPES for shape in SHAPES]


def exact(product: Product) -> np.ndarray:
    weight = gguf.quants.dequantize(product.weight, gguf.GGMLQuantizationType[product.dtype])
    result: np.ndarray = product.x.astype(np.float64) @ weight.astype(np.float64).T
    return result


def error(products: Products, dtype: str) -> float:
    """Root mean square, of rows that are scaled to the same size."""
    parts = []
    for one, result in zip(PRODUCTS, products.results, strict=True):
        if one.dtype == dtype:
            size = np.abs(one.x).max(axis=1, keepdims=True)
            parts.append(np.ravel((result - exact(one)) / np.where(size > 0, size, 1)))
    return float(np.sqrt(np.square(np.concatenate(parts)).mean()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("products")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Products]:
    """Results of all products, by set of kernels."""
    here = kernels_here(folder)
    if not here:
        pytest.skip("this processor has none of the instruction sets that our kernels use")
    return {name: products_with(name, PRODUCTS, folder) for name in here}


@pytest.fixture(scope="module")
def plain(folder: Path) -> Products:
    return products_with("none", PRODUCTS, folder, plain=True)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kernels", SETS)
def test_kernels_are_as_exact_as_ggmls_plain_ones(
    kernels: str, dtype: str, found: dict[str, Products], plain: Products
) -> None:
    if kernels not in found:
        pytest.skip(f"this processor has no {kernels}")
    for one, taken in zip(PRODUCTS, found[kernels].taken, strict=True):
        assert taken, (one.dtype, one.weight.shape)
    ours, ggmls = error(found[kernels], dtype), error(plain, dtype)
    print(f"{found[kernels].kernels}, {dtype}: error {ours:.3e}, ggml's plain kernel {ggmls:.3e}")
    assert ours <= ggmls


def test_every_instruction_set_gives_the_same_bytes(found: dict[str, Products]) -> None:
    if len(found) < 2:
        pytest.skip("this processor has one set only")
    assert len({products.kernels for products in found.values()}) == len(found)
    first, *others = found.values()
    for other in others:
        for one, a, b in zip(PRODUCTS, first.results, other.results, strict=True):
            assert np.array_equal(a, b), (other.kernels, one.dtype, one.weight.shape, one.x.shape)


@pytest.mark.parametrize("kernels", SETS)
def test_rows_do_not_depend_on_each_other_nor_on_threads(
    kernels: str, found: dict[str, Products], folder: Path
) -> None:
    if kernels not in found:
        pytest.skip(f"this processor has no {kernels}")
    whole = [product(dtype, 80, 3, 23, 1) for dtype in TYPES]
    threads = [Product(one.dtype, one.weight, one.x, n) for one in whole for n in (2, 3, 4)]
    rows = [
        Product(one.dtype, one.weight, one.x[i : i + 1], 1)
        for one in whole
        for i in range(len(one.x))
    ]
    results = products_with(kernels, [*whole, *threads, *rows], folder).results
    for i, expected in enumerate(results[: len(whole)]):
        assert np.isfinite(expected).all()
        for shared in results[len(whole) + 3 * i :][:3]:
            assert np.array_equal(shared, expected), whole[i].dtype
        alone = results[len(whole) + len(threads) + len(expected) * i :][: len(expected)]
        assert np.array_equal(np.concatenate(alone), expected), whole[i].dtype


@pytest.mark.parametrize("kernels", SETS)
def test_the_largest_numbers_are_summed_exactly(
    kernels: str, found: dict[str, Products], folder: Path
) -> None:
    """Instructions that saturate must not. Inputs of one size are rounded to 127, without error."""
    if kernels not in found:
        pytest.skip(f"this processor has no {kernels}")
    x = np.ones((5, 512), np.float32)
    x[1:3] *= -1
    x[2:4, ::2] *= -1
    whole = []
    for dtype, f16_offsets in TYPES.items():
        weights, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[dtype]]
        blocks = np.empty((16, 512 // weights, size), np.uint8)
        blocks[:] = np.resize([0xFF, 0x00, 0x7F, 0x80, 0xF0, 0x0F], 16)[:, None, None]
        for offset in f16_offsets:
            blocks[..., offset : offset + 2] = np.array([0.01], "<f2").view(np.uint8)
        whole.append(Product(dtype, blocks.reshape(16, -1), x))
    for one, result in zip(whole, products_with(kernels, whole, folder).results, strict=True):
        expected = exact(one)
        # Of what is summed, which may cancel: float32 rounds each block's part.
        weight = gguf.quants.dequantize(one.weight, gguf.GGMLQuantizationType[one.dtype])
        assert np.abs(result - expected).max() <= 1e-5 * np.abs(weight).sum(axis=1).max(), one.dtype


def test_no_kernels_of_ours_where_none_are_wanted(folder: Path) -> None:
    ggmls = products_with("none", PRODUCTS[:1], folder)
    assert (ggmls.kernels, ggmls.taken, ggmls.log) == (None, [False], "")


def test_a_name_that_is_none_of_a_set_is_told_and_the_best_is_used(
    found: dict[str, Products], folder: Path
) -> None:
    best = products_with(None, [], folder)
    other = products_with("avx3", [], folder)
    assert best.kernels == next(found[name].kernels for name in SETS if name in found)
    assert (best.log, other.kernels) == ("", best.kernels)
    assert "PULID_SDCPP_CPU_KERNELS is avx3" in other.log
    assert "avx512vnni, avxvnni, avx2 or none" in other.log


@pytest.mark.parametrize("kernels", SETS)
def test_a_set_that_the_processor_lacks_is_told_and_the_best_is_used(
    kernels: str, found: dict[str, Products], folder: Path
) -> None:
    if kernels in found:
        pytest.skip(f"this processor has {kernels}")
    other = products_with(kernels, [], folder)
    assert other.kernels == products_with(None, [], folder).kernels
    assert f"{kernels}, which this processor" in other.log
