"""The file of a folded identity: its bytes, and every defect of them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp.families.flux.folding import FoldedLayer, PackedLayer, pack
from pulid_sdcpp.families.sdxl.folding import UnetLayerKV, fold_keys_values
from pulid_sdcpp.folding.folded_file import (
    DamagedFileError,
    FoldedFileWriter,
    folded_file_bytes,
    read_folded_file,
    read_layout,
)
from pulid_sdcpp.folding.folded_layout import FoldedLayout, UnetFoldedLayout
from standin.random_values import normal

KEY = bytes(range(32))
LAYERS, ROWS, HIDDEN = 3, 64, 128
LAYOUT = FoldedLayout(LAYERS, ROWS, HIDDEN, "f16")
UNET_LAYOUT = UnetFoldedLayout((64, 128, 64), 16, "f16")
HEADER_BYTES = 4096
LAYER_BYTES = 36864
"""256 of bias, 16,384 each of a and b, and zeros up to nine pages."""


def random_layers(dtype: str) -> list[PackedLayer]:
    chance = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return chance.standard_normal(shape).astype(np.float32)

    return [
        pack(FoldedLayer(array(ROWS, HIDDEN), array(ROWS), array(HIDDEN, ROWS)), dtype)
        for _ in range(LAYERS)
    ]


def written(path: Path, dtype: str = "f16") -> list[PackedLayer]:
    layers = random_layers(dtype)
    with path.open("wb") as file:
        writer = FoldedFileWriter(file, FoldedLayout(LAYERS, ROWS, HIDDEN, dtype), KEY)
        for layer in layers:
            writer.add(layer)
        writer.finish()
    return layers


@pytest.mark.parametrize("dtype", ["f16", "f32", "q8_0"])
def test_what_was_written_is_read(tmp_path, dtype):
    layers = written(tmp_path / "file", dtype)
    layout = FoldedLayout(LAYERS, ROWS, HIDDEN, dtype)
    assert (tmp_path / "file").stat().st_size == folded_file_bytes(layout)
    found = list(read_folded_file(tmp_path / "file", layout, KEY))
    assert len(found) == LAYERS
    for layer, expected in zip(found, layers, strict=True):
        assert layer.dtype == dtype
        for name in ("a", "bias", "b"):
            array, original = getattr(layer, name), getattr(expected, name)
            assert array.dtype == original.dtype
            assert array.flags.c_contiguous
            assert array.flags.aligned
            np.testing.assert_array_equal(array, original)


def test_the_bytes_are_those_described(tmp_path):
    layers = written(tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    records, checksums = b"", b""
    for layer in layers:
        record = layer.bias.tobytes() + layer.a.tobytes() + layer.b.tobytes()
        record = record.ljust(LAYER_BYTES, b"\0")
        sums = b""
        for start in range(0, LAYER_BYTES, 4096):
            words = struct.unpack_from("<512Q", record, start)
            sums += struct.pack("<Q", sum(words) % 2**64)
        checksums += hashlib.sha256(sums).digest()[:16]
        records += record
    header = struct.pack("<8s4I8s32s", b"PULIDFLD", 1, LAYERS, ROWS, HIDDEN, b"f16", KEY)
    header += checksums
    header += hashlib.sha256(header).digest()
    assert content == header.ljust(HEADER_BYTES, b"\0") + records


def random_keys_values(dtype: str) -> list[UnetLayerKV]:
    return [
        fold_keys_values(
            normal(0, f"id_to_k {width}", (width, 32)), normal(0, f"v {width}", (width, 32)),
            normal(0, "tokens", (10, 32)), dtype,
        )
        for width in UNET_LAYOUT.widths
    ]  # fmt: skip


def written_for_unet(path: Path, dtype: str = "f16") -> list[UnetLayerKV]:
    layers = random_keys_values(dtype)
    with path.open("wb") as file:
        writer = FoldedFileWriter(file, replace(UNET_LAYOUT, dtype=dtype), KEY)
        for layer in layers:
            writer.add(layer)
        writer.finish()
    return layers


@pytest.mark.parametrize("dtype", ["f16", "f32"])
def test_keys_and_values_that_were_written_are_read(tmp_path, dtype):
    layers = written_for_unet(tmp_path / "file", dtype)
    layout = replace(UNET_LAYOUT, dtype=dtype)
    assert (tmp_path / "file").stat().st_size == folded_file_bytes(layout)
    found = list(read_folded_file(tmp_path / "file", layout, KEY))
    assert len(found) == len(layers)
    for layer, expected in zip(found, layers, strict=True):
        assert layer.dtype == dtype
        for array, original in ((layer.k, expected.k), (layer.v, expected.v)):
            assert array.dtype == original.dtype
            assert array.flags.c_contiguous
            assert array.flags.aligned
            np.testing.assert_array_equal(array, original)


def test_the_bytes_of_keys_and_values_are_those_described(tmp_path):
    layers = written_for_unet(tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    widths = UNET_LAYOUT.widths
    header = struct.pack("<8s4I8s", b"PULIDFKV", 1, len(widths), 16, 0, b"f16")
    header += struct.pack("<3I", *widths) + KEY
    assert content.startswith(header)
    start = HEADER_BYTES
    for layer in layers:
        record = layer.k.tobytes() + layer.v.tobytes()
        assert content[start : start + len(record)] == record
        start += -(-len(record) // 4096) * 4096
    assert len(content) == start


def test_what_a_file_consists_of_is_read_from_its_header(tmp_path):
    written(tmp_path / "flux")
    written_for_unet(tmp_path / "unet")
    assert read_layout(tmp_path / "flux") == LAYOUT
    assert read_layout(tmp_path / "unet") == UNET_LAYOUT
    content = (tmp_path / "unet").read_bytes()
    for damaged in (content[:20], content[:40], content[:12] + b"\xff" * 4 + content[16:], b""):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(DamagedFileError, match="header"):
            read_layout(tmp_path / "damaged")


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        (UNET_LAYOUT, bytes(32)),
        (replace(UNET_LAYOUT, widths=(128, 64, 64)), KEY),
        (replace(UNET_LAYOUT, widths=(128, 64)), KEY),
        (replace(UNET_LAYOUT, rows=24), KEY),
        (replace(UNET_LAYOUT, dtype="f32"), KEY),
        (LAYOUT, KEY),
    ],
)
def test_keys_and_values_of_something_else_are_not_taken(tmp_path, layout, key):
    written_for_unet(tmp_path / "file")
    with pytest.raises(DamagedFileError):
        list(read_folded_file(tmp_path / "file", layout, key))


@pytest.mark.parametrize("position", [0, 8, 12, 16, 24, 32, 40, 44, 76, HEADER_BYTES - 1])
def test_a_defect_before_keys_and_values_is_found(tmp_path, position):
    path = tmp_path / "file"
    written_for_unet(path)
    path.write_bytes(flipped(position)(path.read_bytes()))
    with pytest.raises(DamagedFileError, match="header"):
        list(read_folded_file(path, UNET_LAYOUT, KEY))


def test_a_defect_within_keys_and_values_is_found_in_its_layer(tmp_path):
    path = tmp_path / "file"
    layers = written_for_unet(path)
    good = path.read_bytes()
    for position, n_good in ((HEADER_BYTES, 0), (HEADER_BYTES + 8192, 1), (len(good) - 1, 2)):
        path.write_bytes(flipped(position)(good))
        found = read_folded_file(path, UNET_LAYOUT, KEY)
        for expected in layers[:n_good]:
            np.testing.assert_array_equal(next(found).k, expected.k)
        with pytest.raises(DamagedFileError, match=f"layer {n_good} does not"):
            next(found)


def test_the_published_sdxl_weights_take_13_mb():
    widths = (640,) * 10 + (1280,) * 60
    assert folded_file_bytes(UnetFoldedLayout(widths, 40, "f16")) == 13_316_096
    assert folded_file_bytes(UnetFoldedLayout(widths, 16, "f16")) == 5_328_896


def test_the_published_model_takes_126_mb():
    assert folded_file_bytes(FoldedLayout(20, 512, 3072, "f16")) == 125_915_136
    assert folded_file_bytes(FoldedLayout(20, 512, 3072, "q8_0")) == 66_932_736


def flipped(position: int) -> Callable[[bytes], bytes]:
    def damage(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[position] ^= 1
        return bytes(changed)

    return damage


def with_zeroed_page(content: bytes) -> bytes:
    start = HEADER_BYTES + LAYER_BYTES + 4096
    return content[:start] + bytes(4096) + content[start + 4096 :]


def with_swapped_pages(content: bytes) -> bytes:
    start = HEADER_BYTES + LAYER_BYTES
    first, second = content[start : start + 4096], content[start + 4096 : start + 8192]
    return content[:start] + second + first + content[start + 8192 :]


def with_swapped_layers(content: bytes) -> bytes:
    layers = [content[HEADER_BYTES + i * LAYER_BYTES :][:LAYER_BYTES] for i in range(LAYERS)]
    return content[:HEADER_BYTES] + layers[0] + layers[2] + layers[1]


DAMAGES = {
    "empty": lambda content: b"",
    "one byte short": lambda content: content[:-1],
    "the last layer missing": lambda content: content[:-LAYER_BYTES],
    "the header only": lambda content: content[:HEADER_BYTES],
    "half a header": lambda content: content[:60],
    "one byte more": lambda content: content + b"\0",
    "all zeros": lambda content: bytes(len(content)),
    "no header": lambda content: bytes(HEADER_BYTES) + content[HEADER_BYTES:],
    "no layers": lambda content: content[:HEADER_BYTES] + bytes(LAYERS * LAYER_BYTES),
    "magic": flipped(0),
    "version": flipped(8),
    "number of layers": flipped(12),
    "rows": flipped(16),
    "hidden": flipped(20),
    "dtype": flipped(24),
    "key": flipped(32),
    "the first checksum": flipped(64),
    "the last checksum": flipped(64 + 3 * 16 - 1),
    "the header's hash": flipped(64 + 3 * 16),
    "after the header's hash": flipped(HEADER_BYTES - 1),
    "bias": flipped(HEADER_BYTES),
    "a": flipped(HEADER_BYTES + 256),
    "b": flipped(HEADER_BYTES + LAYER_BYTES + 256 + 16384),
    "the end of b": flipped(HEADER_BYTES + 256 + 2 * 16384 - 1),
    "behind b": flipped(HEADER_BYTES + LAYER_BYTES - 1),
    "a zeroed page": with_zeroed_page,
    "swapped pages": with_swapped_pages,
    "swapped layers": with_swapped_layers,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_every_defect_is_found(tmp_path, damage):
    path = tmp_path / "file"
    written(path)
    good = path.read_bytes()
    damaged = damage(good)
    assert damaged != good
    path.write_bytes(damaged)
    with pytest.raises(DamagedFileError):
        list(read_folded_file(path, LAYOUT, KEY))


def test_layers_before_the_damaged_one_are_good(tmp_path):
    path = tmp_path / "file"
    layers = written(path)
    path.write_bytes(flipped(HEADER_BYTES + 2 * LAYER_BYTES)(path.read_bytes()))
    found = read_folded_file(path, LAYOUT, KEY)
    for expected in layers[:2]:
        np.testing.assert_array_equal(next(found).a, expected.a)
    with pytest.raises(DamagedFileError, match="layer 2"):
        next(found)


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        (LAYOUT, bytes(32)),
        (FoldedLayout(LAYERS, HIDDEN, ROWS, "f16"), KEY),
        (FoldedLayout(LAYERS, ROWS, HIDDEN, "f32"), KEY),
        (FoldedLayout(LAYERS + 1, ROWS, HIDDEN, "f16"), KEY),
    ],
)
def test_a_file_of_something_else_is_not_taken(tmp_path, layout, key):
    written(tmp_path / "file")
    with pytest.raises(DamagedFileError):
        list(read_folded_file(tmp_path / "file", layout, key))


def test_a_file_cut_short_while_it_is_read_is_found(tmp_path):
    path = tmp_path / "file"
    written(path)
    layers = read_folded_file(path, LAYOUT, KEY)
    next(layers)
    with path.open("r+b") as file:
        file.truncate(HEADER_BYTES + LAYER_BYTES)
    with pytest.raises(DamagedFileError):
        list(layers)


def test_a_file_that_was_not_finished_is_found(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        writer = FoldedFileWriter(file, LAYOUT, KEY)
        for layer in random_layers("f16"):
            writer.add(layer)
    assert path.stat().st_size == folded_file_bytes(LAYOUT)
    with pytest.raises(DamagedFileError, match="header"):
        list(read_folded_file(path, LAYOUT, KEY))


def test_a_missing_file_is_told_from_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(read_folded_file(tmp_path / "file", LAYOUT, KEY))
