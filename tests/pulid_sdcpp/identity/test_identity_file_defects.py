"""Identity files that are refused: every defect by itself, then ten thousand at random."""

from __future__ import annotations

import math
import random
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from file_drafts import (
    F16,
    IDENTITY_METADATA,
    Q8_0,
    draft_gguf,
    draft_identity,
    flux_shapes,
    gguf_tensor,
    pulid_shapes,
    string,
    u32,
    write_empty_safetensors,
)
from pulid_sdcpp.errors import IdentityFileError
from pulid_sdcpp.identity.identity_file import Identity

SMALL = np.arange(8, dtype=np.float16).reshape(2, 4)


def refused(path: Path, *words: str) -> str:
    """The message with which a file is refused; it names the file and is one line."""
    with pytest.raises(IdentityFileError) as caught:
        Identity.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


@pytest.fixture
def write(tmp_path):
    def write_bytes(content: bytes) -> Path:
        path = tmp_path / "alice.pulidembd"
        path.write_bytes(content)
        return path

    return write_bytes


# Defects of files, one by one


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "alice.pulidembd", "no such file")


def test_a_folder_is_refused(tmp_path):
    refused(tmp_path, "found a folder")


def test_an_empty_file_is_refused(write):
    refused(write(b""), "found an empty file")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"hello\n", "a text file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG picture"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "a JPEG picture"),
        (b"\x80\x02}q\x00.", "a pickle"),
        (bytes(100), "unrecognised content"),
    ],
)
def test_a_file_that_is_not_gguf_is_refused_by_what_it_is(write, content, found):
    refused(write(content), "expected an identity file (gguf)", found, "extract")


def test_pulid_weights_given_as_identity_are_named(tmp_path):
    path = write_empty_safetensors(tmp_path / "pulid.safetensors", pulid_shapes())
    refused(path, "found PuLID weights for Flux")


def test_a_flux_gguf_given_as_identity_is_named(write):
    tensors = [gguf_tensor("double_blocks.0.img_attn.qkv.weight", (8, 4), F16, 0)]
    content = draft_gguf({"general.architecture": string("flux")}, tensors, bytes(64))
    refused(write(content), "'pulid' and not 'flux'", "found a Flux model")


def test_a_flux_safetensors_given_as_identity_is_named(tmp_path):
    path = write_empty_safetensors(tmp_path / "flux.safetensors", flux_shapes())
    refused(path, "found a Flux model")


def test_another_architecture_is_refused(write):
    metadata = IDENTITY_METADATA | {"general.architecture": string("llama\n\x1b[31m")}
    message = refused(write(draft_identity(metadata=metadata)), "'pulid'", "llama")
    assert "\x1b" not in message


def test_no_architecture_is_refused(write):
    refused(
        write(draft_identity(metadata={"pulid.version": u32(1)})), "general.architecture 'pulid'"
    )


@pytest.mark.parametrize(
    ("version", "found"),
    [(u32(2), "'2'"), (u32(0), "'0'"), (string("1"), "'1'"), (struct.pack("<IB", 7, 1), "'True'")],
)
def test_an_unknown_version_is_refused(write, version, found):
    metadata = IDENTITY_METADATA | {"pulid.version": version}
    refused(write(draft_identity(metadata=metadata)), "pulid.version 1", found)


def test_a_missing_version_is_refused(write):
    metadata = {"general.architecture": string("pulid")}
    refused(write(draft_identity(metadata=metadata)), "pulid.version 1, found none")


@pytest.mark.parametrize("version", [0, 1, 4, 0x03000000])
def test_an_unknown_gguf_version_is_refused(write, version):
    refused(write(draft_identity(version=version)), "gguf")


def test_a_missing_tensor_is_refused(write):
    tensors = [gguf_tensor("other", (4, 2), F16, 0)]
    refused(write(draft_identity(tensors=tensors)), "expected a tensor 'pulid_id', found 'other'")
    refused(write(draft_identity(tensors=[])), "found none")


@pytest.mark.parametrize("ne", [(8,), (2, 2, 2), ()])
def test_a_wrong_rank_is_refused(write, ne):
    tensors = [gguf_tensor("pulid_id", ne, F16, 0)]
    refused(write(draft_identity(tensors=tensors)), "(tokens, width)", str(ne[::-1]))


def test_a_wrong_dtype_is_refused(write):
    tensors = [gguf_tensor("pulid_id", (32, 1), Q8_0, 0)]
    refused(write(draft_identity(tensors=tensors, data=bytes(64))), "F16, F32 or BF16", "Q8_0")
    tensors = [gguf_tensor("pulid_id", (4, 1), 26, 0)]
    refused(write(draft_identity(tensors=tensors)), "F16, F32 or BF16", "I32")


def test_an_unknown_dtype_is_refused(write):
    tensors = [gguf_tensor("pulid_id", (4, 2), 4000, 0)]
    refused(write(draft_identity(tensors=tensors)), "type number 4000")


@pytest.mark.parametrize("ne", [(4, 0), (4, 1025), (65537, 1), (2**40, 2**40), (2**63, 2)])
def test_an_implausible_shape_is_refused(write, ne):
    tensors = [gguf_tensor("pulid_id", ne, F16, 0)]
    refused(write(draft_identity(tensors=tensors, data=bytes(131_200))))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("tensor", ["pulid_id", "pulid_id_uncond"])
def test_nan_and_infinity_are_refused(write, tensor, value):
    good, bad = SMALL.copy(), SMALL.copy()
    bad[1, 2] = value
    first, second = (bad, good) if tensor == "pulid_id" else (good, bad)
    tensors = [
        gguf_tensor("pulid_id", (4, 2), F16, 0),
        gguf_tensor("pulid_id_uncond", (4, 2), F16, 32),
    ]
    data = first.tobytes() + bytes(16) + second.tobytes()
    refused(
        write(draft_identity(tensors=tensors, data=data)), "finite", "1 that are NaN or infinite"
    )


def test_an_unconditional_identity_of_another_shape_is_refused(write):
    tensors = [
        gguf_tensor("pulid_id", (4, 2), F16, 0),
        gguf_tensor("pulid_id_uncond", (4, 1), F16, 32),
    ]
    refused(write(draft_identity(tensors=tensors, data=b"\x01" * 48)), "(2, 4)", "(1, 4)")


def test_every_truncation_is_refused(write):
    whole = draft_identity()
    for length in range(1, len(whole)):
        refused(write(whole[:length]))


def test_oversized_metadata_is_refused(write):
    metadata = IDENTITY_METADATA | {"pulid.note": string(b"a" * (1 << 20))}
    refused(write(draft_identity(metadata=metadata)), "oversized metadata")
    metadata = IDENTITY_METADATA | {f"pulid.{i}": u32(i) for i in range(300)}
    refused(write(draft_identity(metadata=metadata)), "identity metadata: 300 entries")


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**32, 10_000])
def test_lengths_beyond_the_file_are_refused_without_allocating(write, length):
    lie = struct.pack("<Q", length)
    refused(
        write(draft_identity(metadata=IDENTITY_METADATA | {"pulid.x": struct.pack("<I", 8) + lie}))
    )
    refused(
        write(
            draft_identity(metadata=IDENTITY_METADATA | {"pulid.x": struct.pack("<II", 9, 4) + lie})
        )
    )
    refused(
        write(
            draft_identity(metadata=IDENTITY_METADATA | {"pulid.x": struct.pack("<II", 9, 8) + lie})
        )
    )
    refused(write(draft_identity(n_tensors=length)))
    refused(write(draft_identity(n_keys=length)))
    refused(write(b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + lie))


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": IDENTITY_METADATA | {"pulid.x": struct.pack("<I", 99)}},
        {"metadata": IDENTITY_METADATA | {"pulid.x": struct.pack("<IIQ", 9, 9, 1)}},
        {"metadata": IDENTITY_METADATA | {"general.alignment": u32(0)}},
        {"metadata": IDENTITY_METADATA | {"general.alignment": u32(24)}},
        {"metadata": IDENTITY_METADATA | {"general.alignment": string("32")}},
        {"tensors": [gguf_tensor("pulid_id", (4, 2), F16, 7)]},
        {"tensors": [gguf_tensor("pulid_id", (4, 2), F16, 2**63)]},
        {"tensors": [gguf_tensor("pulid_id", (4, 2), F16, 0)] * 2},
        {"tensors": [gguf_tensor("pulid_id", (1,) * 6, F16, 0)]},
        {
            "tensors": [
                gguf_tensor("pulid_id", (4, 2), F16, 0),
                gguf_tensor("other", (4, 2), F16, 0),
            ]
        },
    ],
)
def test_damaged_headers_are_refused(write, change):
    refused(write(draft_identity(**change)))


def test_a_name_that_is_not_text_is_refused(write):
    content = draft_identity().replace(b"pulid_id", b"pulid\xff\xfe\xfd")
    refused(write(content), "not UTF-8")


# Ten thousand mutated files


def mutated(original: bytes, other: bytes, chance: random.Random) -> bytes:
    """A damaged copy: flipped bits, cut, spliced, or with a length or count told wrong."""
    content = bytearray(original)
    for _ in range(chance.randint(1, 4)):
        kind = chance.randrange(6)
        # The header is where a reader can be misled; most damage goes there.
        end = len(content) if chance.random() < 0.2 else min(len(content), 400)
        place = chance.randrange(max(end, 1))
        if kind == 0 and content:
            content[place % len(content)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content = content[:place]
        elif kind == 2:
            start = chance.randrange(len(other))
            content[place : place + chance.randrange(64)] = other[start : start + 64]
        elif kind == 3:
            size = chance.choice([1, 2, 4, 8])
            value = chance.choice(
                [0, 1, 2**7, 2**15, 2**31, 2**63, 2**64 - 1, chance.randrange(300)]
            )
            content[place : place + size] = (value % 256**size).to_bytes(size, "little")
        elif kind == 4:
            del content[place : place + chance.randrange(1, 40)]
        else:
            content[place:place] = chance.randbytes(chance.randrange(1, 40))
    return bytes(content)


def test_ten_thousand_mutated_files_are_refused_or_valid(tmp_path):
    chance = random.Random(20260101)
    tokens = np.random.default_rng(3).standard_normal((4, 48)).astype(np.float32)
    seeds = []
    for dtype, uncond in (("f16", None), ("f32", tokens * 2), ("bf16", None)):
        path = tmp_path / dtype
        Identity.from_array(
            tokens, uncond, created="now", face_box=(1.0, 2.0, 3.0, 4.0), names=("a", "b")
        ).save(path, dtype)
        seeds.append(path.read_bytes())
    path = tmp_path / "mutated.pulidembd"
    valid, slowest, started = 0, 0.0, time.perf_counter()
    for _ in range(10_000):
        # A new file each time: ext4 flushes one that is truncated and written again.
        path.unlink(missing_ok=True)
        path.write_bytes(mutated(chance.choice(seeds), chance.choice(seeds), chance))
        before = time.perf_counter()
        try:
            identity = Identity.load(path)
        except IdentityFileError as error:
            message = str(error)
            assert message.isprintable()
            assert len(message) < 1000
        else:
            valid += 1
            assert np.isfinite(identity.tokens).all()
            assert 1 <= identity.n_tokens <= 1024
        slowest = max(slowest, time.perf_counter() - before)
    print(
        f"10000 mutated files: {valid} still valid, slowest {slowest * 1e3:.1f} ms,"
        f" {time.perf_counter() - started:.1f} s in all"
    )
    # Damage to token values and unused bytes leaves valid files, damage to the header does not.
    assert 500 < valid < 8000
