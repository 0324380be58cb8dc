"""Reading tensors from safetensors and gguf, and refusing damaged files."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest

from file_drafts import F16, F32, Q8_0, draft_gguf, draft_safetensors, gguf_tensor, string, u32
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.tensors.gguf_header import GGML_TYPES, OmittedArray
from pulid_sdcpp.tensors.tensor_file import TensorFile

GOOD_ENTRY = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


@pytest.fixture
def write(tmp_path):
    def write_bytes(content: bytes) -> Path:
        path = tmp_path / "model.bin"
        path.write_bytes(content)
        return path

    return write_bytes


def refused(path: Path, *words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        TensorFile(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message


# Reading


def test_safetensors_are_read_as_the_package_wrote_them(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    tensors = {
        "f32": np.arange(6, dtype=np.float32).reshape(2, 3),
        "f16": np.array([0.1, -2.5, 65504], np.float16),
        "f64": np.array([[[1 / 3]]]),
        "i64": np.array([-1, 2**40]),
        "u8": np.arange(3, dtype=np.uint8),
        "bool": np.array([True, False]),
        "scalar": np.array(7.0, np.float32),
        "none": np.zeros((0, 3), np.float32),
    }
    path = tmp_path / "model.safetensors"
    safetensors.save_file(tensors, path, metadata={"format": "pt"})
    with TensorFile(path) as file:
        assert file.format == "safetensors"
        assert dict(file.metadata) == {"format": "pt"}
        assert sorted(file.names()) == sorted(tensors)
        for name, array in tensors.items():
            assert file.shape(name) == array.shape
            read = file.read(name, array.dtype)
            np.testing.assert_array_equal(read, array)
            assert read.shape == array.shape
            assert file.read(name).dtype == np.float32
        assert file.dtype("f64") == "f64"
        assert "f32" in file
        assert "f33" not in file


@pytest.mark.parametrize("dtype", ["F16", "F32", "BF16"])
def test_some_rows_are_those_of_the_whole(tmp_path, dtype):
    size = 4 if dtype == "F32" else 2
    entries = {
        "before": {"dtype": dtype, "shape": [3], "data_offsets": [0, 3 * size]},
        "x": {"dtype": dtype, "shape": [4, 5], "data_offsets": [3 * size, 23 * size]},
    }
    path = tmp_path / "model.safetensors"
    path.write_bytes(draft_safetensors(entries, bytes(range(23 * size))))
    with TensorFile(path) as file:
        whole = file.read("x")
        for start, stop in [(0, 4), (0, 1), (1, 3), (3, 4)]:
            np.testing.assert_array_equal(file.read("x", rows=(start, stop)), whole[start:stop])
        for rows in [(0, 5), (-1, 2), (2, 2), (3, 1)]:
            with pytest.raises(ValueError, match="there are 4"):
                file.read("x", rows=rows)


def test_rows_of_blocks_are_those_of_the_whole(tmp_path):
    gguf = pytest.importorskip("gguf")
    numbers = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    blocks = gguf.quants.quantize(numbers, gguf.GGMLQuantizationType.Q8_0)
    path = tmp_path / "model.gguf"
    path.write_bytes(draft_gguf({}, [gguf_tensor("x", (64, 4), Q8_0, 0)], blocks.tobytes()))
    with TensorFile(path) as file:
        np.testing.assert_array_equal(file.read("x", rows=(1, 3)), file.read("x")[1:3])


def test_the_content_hash_is_of_the_tensors_named_and_of_nothing_else(tmp_path):
    def hashed(dtype: str, data: bytes, shape: list[int], *, extra: str = "", name: str = "a"):
        half = len(data) // 2
        entries = {
            **({"__metadata__": {"note": extra}} if extra else {}),
            name: {"dtype": dtype, "shape": shape, "data_offsets": [0, half]},
            "b": {"dtype": dtype, "shape": shape, "data_offsets": [half, 2 * half]},
        }
        path = tmp_path / "model.safetensors"
        path.write_bytes(draft_safetensors(entries, data))
        with TensorFile(path) as file:
            return file.content_sha256([name]), file.content_sha256([name, "b"])

    one, both = hashed("F16", bytes(range(16)), [4])
    assert one != both
    assert hashed("F16", bytes(range(16)), [4], extra="another header") == (one, both)
    changed_b = hashed("F16", bytes(range(15)) + b"\xff", [4])
    assert changed_b[0] == one
    assert changed_b[1] != both
    others = [
        hashed("F16", b"\xff" + bytes(range(1, 16)), [4]),
        hashed("BF16", bytes(range(16)), [4]),
        hashed("F16", bytes(range(16)), [2, 2]),
        hashed("F16", bytes(range(16)), [4], name="c"),
    ]
    assert one not in [other[0] for other in others]


def test_bf16_safetensors_are_widened_exactly(tmp_path):
    bits = np.array([0x3F80, 0xBF81, 0x7F7F, 0x0001, 0x0000], np.uint16)
    entry = {"x": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}
    path = tmp_path / "model.safetensors"
    path.write_bytes(draft_safetensors(entry, bits.tobytes()))
    with TensorFile(path) as file:
        assert file.dtype("x") == "bf16"
        read = file.read("x")
    np.testing.assert_array_equal(read.view(np.uint32), bits.astype(np.uint32) << 16)
    read[0] = 3  # a copy of its own: the file is closed and was never ours to change


@pytest.mark.parametrize("kind", ["F16", "F32", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q6_K"])
def test_gguf_tensors_are_dequantized_as_the_package_does(tmp_path, kind):
    gguf = pytest.importorskip("gguf")
    dtype = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[dtype]
    chance = np.random.default_rng(4)
    if kind in ("F16", "F32"):
        raw = chance.standard_normal((3, 256)).astype({"F16": "<f2", "F32": "<f4"}[kind])
        expected = raw.astype(np.float32)
    else:
        # Scales are float16; 0x2xxx are small finite ones.
        raw = chance.integers(0, 48, (3, 256 // block * size), dtype=np.uint8)
        expected = gguf.quants.dequantize(raw, dtype)
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "test")
    writer.add_tensor("first", np.ones(5, np.float32))
    writer.add_tensor("x", raw, raw_dtype=dtype)
    writer.add_array("list", list(range(100)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with TensorFile(path) as file:
        assert file.format == "gguf"
        assert file.names() == ["first", "x"]
        assert file.dtype("x") == kind.lower()
        assert file.shape("x") == (3, 256)
        np.testing.assert_array_equal(file.read("x"), expected)
        assert file.metadata["general.architecture"] == "test"
        assert file.metadata["list"] == OmittedArray("int32", 100)


def test_the_table_of_ggml_types_is_the_packages():
    gguf = pytest.importorskip("gguf")
    known = {dtype.value for dtype in gguf.GGMLQuantizationType}  # older packages know fewer
    assert len(known & GGML_TYPES.keys()) >= 30
    for number in known & GGML_TYPES.keys():
        name, block, size = GGML_TYPES[number]
        dtype = gguf.GGMLQuantizationType(number)
        assert dtype.name.lower() == name
        # The package has 40 bytes for Q8_1; ggml-common.h's static_assert says 2 * 2 + 32.
        expected = (32, 36) if name == "q8_1" else gguf.GGML_QUANT_SIZES[dtype]
        assert (block, size) == expected


def test_a_missing_tensor_is_named(write):
    path = write(draft_safetensors({"x": GOOD_ENTRY}, bytes(16)))
    with TensorFile(path) as file, pytest.raises(ModelFileError, match="no tensor 'y'"):
        file.read("y")


def test_a_type_that_cannot_be_read_is_named(write):
    entry = {"x": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}
    with TensorFile(write(draft_safetensors(entry, bytes(4)))) as file:
        assert file.dtype("x") == "f8_e8m0"
        with pytest.raises(ModelFileError, match="f8_e8m0"):
            file.read("x")


# Defects


def test_what_is_no_tensor_file_is_refused_by_what_it_is(tmp_path, write):
    refused(tmp_path / "missing", "no such file")
    refused(tmp_path, "found a folder")
    refused(write(b""), "found an empty file")
    refused(write(b"<!DOCTYPE html><html>"), "an HTML page")
    refused(write(b"version https://git-lfs.github.com/spec/v1\noid"), "a Git LFS pointer")
    refused(write(b"PK\x03\x04" + bytes(30)), "torch checkpoint or another zip")


@pytest.mark.parametrize(
    ("entries", "data", "words"),
    [
        ({"x": GOOD_ENTRY}, bytes(15), "truncated"),
        ({"x": GOOD_ENTRY}, bytes(17), "1 bytes belong to no tensor"),
        ({"x": GOOD_ENTRY, "y": GOOD_ENTRY}, bytes(16), "overlaps"),
        ({"x": GOOD_ENTRY | {"data_offsets": [1, 17]}}, bytes(17), "gap"),
        ({"x": GOOD_ENTRY | {"data_offsets": [0, 15]}}, bytes(15), "takes 16 bytes"),
        ({"x": GOOD_ENTRY | {"data_offsets": [16, 0]}}, bytes(16), "span -16"),
        ({"x": GOOD_ENTRY | {"data_offsets": [-16, 0]}}, bytes(16), "offsets"),
        ({"x": GOOD_ENTRY | {"data_offsets": [0]}}, bytes(16), "offsets"),
        ({"x": GOOD_ENTRY | {"data_offsets": [0, 16.0]}}, bytes(16), "offsets"),
        ({"x": GOOD_ENTRY | {"dtype": "F99"}}, bytes(16), "dtype 'F99'"),
        ({"x": GOOD_ENTRY | {"dtype": ["F32"]}}, bytes(16), "dtype"),
        ({"x": GOOD_ENTRY | {"shape": [2, -2]}}, bytes(16), "shape"),
        ({"x": GOOD_ENTRY | {"shape": [True, 4]}}, bytes(16), "shape"),
        ({"x": GOOD_ENTRY | {"shape": "22"}}, bytes(16), "shape"),
        ({"x": GOOD_ENTRY | {"shape": [1] * 99}}, bytes(16), "shape"),
        ({"x": GOOD_ENTRY | {"shape": [2**61, 2**61, 2**61]}}, bytes(16), "takes"),
        ({"x": [1]}, bytes(16), "not an object"),
        ({"__metadata__": {"a": 1}}, b"", "__metadata__"),
        ({"__metadata__": "a"}, b"", "__metadata__"),
    ],
)
def test_damaged_safetensors_headers_are_refused(write, entries, data, words):
    refused(write(draft_safetensors(entries, data)), words)


@pytest.mark.parametrize(
    "header", [b"{", b"{}}", b'{"a": NaN}', b'{"a\xff": 1}', b'{"a": 1, "a": 2}', b"{" * 100_000]
)
def test_headers_that_are_no_json_are_refused(write, header):
    refused(write(struct.pack("<Q", len(header)) + header), "damaged safetensors header")


def test_a_name_of_a_tensor_is_no_book(write):
    entries = {"é" * 512: GOOD_ENTRY}
    with TensorFile(write(draft_safetensors(entries, bytes(16)))):
        pass
    refused(
        write(draft_safetensors({"é" * 512 + "x": GOOD_ENTRY}, bytes(16))),
        "a name of 1025 bytes (limit 1024)",
    )


@pytest.mark.parametrize("length", [17 << 20, 2**31, 2**32 - 1])
def test_an_oversized_safetensors_header_is_refused(write, length):
    refused(write(struct.pack("<Q", length) + b"{}"), "oversized metadata")


def test_a_safetensors_header_past_the_end_is_refused(write):
    refused(write(struct.pack("<Q", 1000) + b"{}"), "truncated")


def test_every_truncation_of_a_gguf_is_refused(write):
    tensors = [gguf_tensor("a", (4, 2), F16, 0), gguf_tensor("b", (3,), F32, 32)]
    whole = draft_gguf({"general.architecture": string("test")}, tensors, bytes(44))
    with TensorFile(write(whole)) as file:
        assert file.shape("b") == (3,)
    for length in range(1, len(whole)):
        refused(write(whole[:length]))


def test_a_row_that_does_not_fill_its_blocks_is_refused(write):
    tensors = [gguf_tensor("a", (33, 2), 8, 0)]
    refused(write(draft_gguf({}, tensors, bytes(100))), "rows of 33", "multiple of 32")


def test_another_alignment_is_followed(write):
    tensors = [gguf_tensor("a", (4,), F32, 0), gguf_tensor("b", (1,), F32, 64)]
    data = np.arange(4, dtype="<f4").tobytes() + bytes(48) + np.float32(9).tobytes()
    content = draft_gguf({"general.alignment": u32(64)}, tensors, data, alignment=64)
    with TensorFile(write(content)) as file:
        assert file.read("a").tolist() == [0, 1, 2, 3]
        assert file.read("b").tolist() == [9]


def test_two_thousand_mutated_safetensors_are_refused_or_readable(tmp_path):
    chance = random.Random(7)
    entries = {
        "__metadata__": {"format": "pt"},
        "a": GOOD_ENTRY,
        "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]},
    }
    original = draft_safetensors(entries, bytes(range(22)))
    tokens = [b"-", b"9" * 400, b"1e999", b"null", b"[", b"}", b'"a"', b"0", b"\\ud800", b"\xff"]
    path = tmp_path / "model.safetensors"
    readable, messages = 0, []
    for _ in range(2000):
        content = bytearray(original)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(content))
            if chance.random() < 0.5:
                content[place] = chance.randrange(256)
            else:
                content[place : place + chance.randrange(3)] = chance.choice(tokens)
        if chance.random() < 0.5:  # keep the length right, so that damage reaches the parser
            header = max(0, len(content) - 8 - 22)
            content[:8] = struct.pack("<Q", header)
        path.unlink(missing_ok=True)  # ext4 flushes a file that is truncated and written again
        path.write_bytes(content)
        try:
            with TensorFile(path) as file:
                for name in file.names():
                    file.read(name)
                readable += 1
        except ModelFileError as error:
            messages.append(str(error))
    print(f"2000 mutated safetensors: {readable} readable")
    assert 20 < readable < 1900
    assert all(message.isprintable() for message in messages)


def test_metadata_of_a_large_header_is_quick(write):
    entries = {
        f"layer.{i}": {"dtype": "F16", "shape": [2], "data_offsets": [4 * i, 4 * i + 4]}
        for i in range(2000)
    }
    assert len(json.dumps(entries)) > 100_000
    with TensorFile(write(draft_safetensors(entries, bytes(8000)))) as file:
        assert len(file.names()) == 2000


@pytest.mark.parametrize(
    ("dtype", "codes", "values"),
    [
        ("F8_E4M3", [0x38, 0xB8, 0x7E, 0x01, 0x08, 0x00], [1, -1, 448, 2**-9, 2**-6, 0]),
        ("F8_E5M2", [0x3C, 0xBC, 0x7B, 0x01, 0x04, 0x00], [1, -1, 57344, 2**-16, 2**-14, 0]),
    ],
)
def test_float8_means_what_its_bits_say(
    tmp_path: Path, dtype: str, codes: list[int], values: list[float]
) -> None:
    entry = {"dtype": dtype, "shape": [2, 3], "data_offsets": [0, 6]}
    path = tmp_path / "eight.safetensors"
    path.write_bytes(draft_safetensors({"x": entry}, bytes(codes)))
    with TensorFile(path) as file:
        assert file.read("x").tolist() == np.reshape(values, (2, 3)).tolist()
        assert file.read("x", rows=(1, 2)).tolist() == [values[3:]]
