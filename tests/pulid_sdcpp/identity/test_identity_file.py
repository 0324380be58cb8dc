"""The identity file: what is written, what is read, and what is refused."""

from __future__ import annotations

import copy
import hashlib
import io
import math
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from file_drafts import (
    BF16,
    F16,
    F32,
    IDENTITY_METADATA,
    draft_gguf,
    draft_identity,
    gguf_tensor,
    string,
    text,
)
from pulid_sdcpp.errors import IdentityFileError, OutputExistsError, OutputFileError
from pulid_sdcpp.identity.identity_file import Identity

SMALL = np.arange(8, dtype=np.float16).reshape(2, 4)


@pytest.fixture
def write(tmp_path):
    def write_bytes(content: bytes) -> Path:
        path = tmp_path / "alice.pulidembd"
        path.write_bytes(content)
        return path

    return write_bytes


# What is written


def test_a_saved_identity_has_exactly_the_documented_bytes(tmp_path):
    path = tmp_path / "alice.pulidembd"
    Identity.from_array(SMALL, SMALL + 1, created="now", detection_score=0.5).save(path)

    expected = b"GGUF" + struct.pack("<IQQ", 3, 2, 4)
    expected += text("general.architecture") + struct.pack("<I", 8) + text("pulid")
    expected += text("pulid.version") + struct.pack("<II", 4, 1)
    expected += text("pulid.created") + struct.pack("<I", 8) + text("now")
    expected += text("pulid.detection_score") + struct.pack("<Id", 12, 0.5)
    expected += text("pulid_id") + struct.pack("<IQQIQ", 2, 4, 2, 1, 0)
    expected += text("pulid_id_uncond") + struct.pack("<IQQIQ", 2, 4, 2, 1, 32)
    expected += bytes(-len(expected) % 32)
    expected += SMALL.tobytes() + bytes(16)
    expected += (SMALL + 1).astype("<f2").tobytes() + bytes(16)
    assert path.read_bytes() == expected


def test_a_real_sized_identity_takes_131_kilobytes(tmp_path):
    path = tmp_path / "alice.pulidembd"
    Identity.from_array(np.ones((32, 2048)), weights_sha256="0" * 64).save(path)
    assert 131_072 < path.stat().st_size < 131_072 + 512


def test_the_gguf_package_reads_what_we_write(tmp_path):
    gguf = pytest.importorskip("gguf")
    tokens = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    for dtype, kind in (("f16", F16), ("f32", F32), ("bf16", BF16)):
        path = tmp_path / f"{dtype}.pulidembd"
        Identity.from_array(tokens, face_box=(1.0, 2.0, 3.5, 4.0)).save(path, dtype)
        reader = gguf.GGUFReader(path)
        assert reader.fields["general.architecture"].contents() == "pulid"
        assert reader.fields["pulid.version"].contents() == 1
        assert reader.fields["pulid.face_box"].contents() == [1.0, 2.0, 3.5, 4.0]
        tensor = reader.tensors[0]
        assert tensor.name == "pulid_id"
        assert list(tensor.shape) == [64, 3]
        assert tensor.tensor_type == kind
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_array_equal(values, Identity.load(path).tokens)


def test_the_same_identity_gives_the_same_bytes(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    Identity.from_array(SMALL, created="x", face_box=[1, 2]).save(first)
    Identity.from_array(SMALL, face_box=[1, 2], created="x").save(second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(("dtype", "bits"), [("f16", 11), ("bf16", 8), ("f32", 24)])
def test_each_dtype_keeps_its_precision(tmp_path, dtype, bits):
    path = tmp_path / "alice.pulidembd"
    tokens = np.random.default_rng(1).uniform(0.5, 2, (4, 96)).astype(np.float32)
    Identity.from_array(tokens).save(path, dtype)
    loaded = Identity.load(path)
    assert loaded.dtype == dtype
    relative = np.abs(loaded.tokens / tokens - 1).max()
    # Rounding to nearest errs by at most half a unit in the last of `bits` places.
    assert relative <= 2.0**-bits
    if dtype != "f32":
        assert relative > 2.0 ** -(bits + 2)


def test_bf16_rounds_ties_to_even(tmp_path):
    bits = np.array([[0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF]], np.uint32)
    path = tmp_path / "alice.pulidembd"
    Identity.from_array(bits.view(np.float32)).save(path, "bf16")
    kept = Identity.load(path).tokens.view(np.uint32)
    assert kept.tolist() == [[0x3F800000, 0x3F820000, 0x3F810000, 0x3F800000]]


def test_numbers_beyond_the_dtype_are_refused_not_stored_as_infinity(tmp_path):
    path = tmp_path / "alice.pulidembd"
    with pytest.raises(ValueError, match=r"70000.*f16.*65504"):
        Identity.from_array([[70000.0]]).save(path)
    with pytest.raises(ValueError, match="bf16"):
        Identity.from_array([[np.finfo(np.float32).max]]).save(path, "bf16")
    with pytest.raises(ValueError, match="found 'q8_0'"):
        Identity.from_array([[1.0]]).save(path, "q8_0")
    assert not path.exists()


def test_saving_is_whole_or_not_at_all(tmp_path):
    with pytest.raises(OutputFileError, match="does not exist"):
        Identity.from_array(SMALL).save(tmp_path / "missing" / "alice.pulidembd")
    with pytest.raises(OutputFileError, match="folder"):
        Identity.from_array(SMALL).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


# What is read


def test_a_hand_made_file_is_read(write):
    identity = Identity.load(write(draft_identity()))
    np.testing.assert_array_equal(identity.tokens, SMALL.astype(np.float32))
    assert identity.tokens.dtype == np.float32
    assert identity.tokens.flags.c_contiguous
    assert not identity.tokens.flags.writeable
    assert identity.uncond_tokens is None
    assert (identity.n_tokens, identity.dim, identity.dtype) == (2, 4, "f16")


def test_extra_tensors_and_foreign_metadata_are_ignored(write):
    metadata = IDENTITY_METADATA | {
        "general.name": string("someone"),
        "pulid.": string("no name"),
        "pulid.nan": struct.pack("<If", 6, math.nan),
        "pulid.long": struct.pack("<IIQ", 9, 4, 100) + bytes(400),
        "pulid.note": string("kept"),
    }
    tensors = [
        gguf_tensor("pulid_id", (4, 2), F16, 0),
        gguf_tensor("something.else", (3,), F32, 32),
    ]
    data = SMALL.tobytes() + bytes(16) + bytes(12)
    identity = Identity.load(write(draft_gguf(metadata, tensors, data)))
    assert dict(identity.metadata) == {"note": "kept"}


def test_a_file_with_a_hole_is_refused_and_not_written(tmp_path, write):
    words = "mostly zeros in 1 of 3 tokens, the first is number 1"
    tokens = np.ones((3, 8), np.float16)
    path = tmp_path / "whole.pulidembd"
    Identity.from_array(tokens, tokens * 2).save(path)
    whole = path.read_bytes()
    for part in (tokens, tokens * 2):
        damaged = part.copy()
        damaged[1, :5] = 0
        assert whole.count(part.tobytes()) == 1
        file = write(whole.replace(part.tobytes(), damaged.tobytes()))
        with pytest.raises(IdentityFileError, match=f"{words}; extract the identity again"):
            Identity.load(file)
    with pytest.raises(ValueError, match=f"unconditional identity tokens.*{words}"):
        Identity.from_array(tokens, damaged).save(tmp_path / "new.pulidembd")
    damaged[1, 4] = 1
    Identity.from_array(tokens, damaged).save(path, overwrite=True)
    assert Identity.load(path).dim == 8


def test_metadata_and_the_unconditional_identity_round_trip(tmp_path):
    path = tmp_path / "alice.pulidembd"
    metadata = {
        "created": "2026-01-02T03:04:05Z",
        "empty": "",
        "face_box": (1.5, 2.0, 3.0, 4.1),
        "faces": 2,
        "flipped": True,
        "names": ("a", "b"),
        "score": 0.1,
    }
    identity = Identity.from_array(SMALL, SMALL * 2, **metadata)
    identity.save(path)
    loaded = Identity.load(path)
    assert dict(loaded.metadata) == metadata
    assert type(loaded.metadata["flipped"]) is bool
    np.testing.assert_array_equal(loaded.uncond_tokens, identity.uncond_tokens)


_METADATA_VALUES = st.one_of(
    st.text(max_size=50),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8).map(tuple),
    st.lists(st.text(max_size=9), min_size=1, max_size=8).map(tuple),
)
_KEYS = st.text(min_size=1, max_size=20).filter(lambda key: key.isprintable() and key != "version")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    tokens=numpy_st.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 40)),
        elements=st.floats(-60000, 60000, width=16).filter(bool),  # holes are refused
    ),
    metadata=st.dictionaries(_KEYS, _METADATA_VALUES, max_size=5),
    dtype=st.sampled_from(["f16", "f32"]),
)
def test_any_identity_round_trips(tmp_path, tokens, metadata, dtype):
    path = tmp_path / "alice.pulidembd"
    identity = Identity(tokens, None, metadata)
    identity.save(path, dtype, overwrite=True)  # the folder is that of the examples before, too
    loaded = Identity.load(path)
    np.testing.assert_array_equal(loaded.tokens, tokens)
    assert dict(loaded.metadata) == metadata
    assert loaded.sha256 == identity.sha256


def test_a_file_that_is_there_is_kept_unless_told(tmp_path):
    path = tmp_path / "alice.pulidembd"
    alice, bob = Identity.from_array(SMALL), Identity.from_array(SMALL + 1)
    alice.save(path)
    with pytest.raises(OutputExistsError, match=r"alice\.pulidembd: it exists; name another"):
        bob.save(path)
    assert Identity.load(path).sha256 == alice.sha256
    bob.save(path, overwrite=True)
    assert Identity.load(path).sha256 == bob.sha256


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_file_is_for_its_owner_only(tmp_path):
    path = tmp_path / "alice.pulidembd"
    for mode in (0o600, 0o644):
        Identity.from_array(SMALL).save(path, overwrite=True)
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(mode)


# Hashes


def test_the_hash_is_of_the_person_not_of_the_file(tmp_path):
    tokens = np.random.default_rng(2).standard_normal((2, 8)).astype(np.float32)
    identity = Identity.from_array(tokens, created="x")
    for dtype in ("f16", "f32"):
        identity.save(tmp_path / dtype, dtype)
        assert Identity.load(tmp_path / dtype).sha256 == identity.sha256
    assert Identity.from_array(tokens, tokens).sha256 == identity.sha256
    assert Identity.from_array(tokens.reshape(4, 4)).sha256 != identity.sha256
    assert Identity.from_array(tokens + 1).sha256 != identity.sha256
    assert identity.sha256.startswith(identity.short_hash)
    assert len(identity.short_hash) == 10


def test_the_hash_is_of_the_shape_and_float16_tokens():
    content = struct.pack("<II", 2, 4) + SMALL.tobytes()
    assert Identity.from_array(SMALL).sha256 == hashlib.sha256(content).hexdigest()


# What cannot be an identity


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 3, 4)), r"\(tokens, width\).*\(2, 3, 4\)"),
        (np.zeros(4), r"\(tokens, width\).*\(4,\)"),
        (np.zeros((0, 4)), "found 0 of width 4"),
        (np.zeros((1025, 1)), "found 1025 of width 1"),
        (np.zeros((1, 65537)), "found 1 of width 65537"),
        ([[1.0, math.nan]], "1 that are NaN or infinite"),
        ([[math.inf, -math.inf]], "2 that are NaN or infinite"),
        ([[1e300]], "1 that are NaN or infinite"),
        (np.zeros((2, 4)), "only zeros"),
        ([["a"]], "numbers"),
        ([[1 + 2j]], "real numbers"),
        ([[1.0], [1.0, 2.0]], "numbers"),
        (None, "numbers"),
    ],
)
def test_arrays_that_are_no_identity_are_refused(array, words):
    with pytest.raises(ValueError, match=words):
        Identity.from_array(array)


def test_the_unconditional_identity_has_the_same_shape():
    with pytest.raises(ValueError, match=r"\(2, 4\).*\(1, 4\)"):
        Identity.from_array(SMALL, SMALL[:1])


@pytest.mark.parametrize(
    "metadata",
    [
        {"version": 2},
        {"": 1},
        {"a\n": 1},
        {"x": None},
        {"x": math.nan},
        {"x": 2**63},
        {"x": "\ud800"},
        {"x": (1, "a")},
        {"x": ()},
        {"x": [1.0] * 65},
        {"x": "a" * 300_000},
        {str(i): i for i in range(257)},
    ],
)
def test_metadata_that_cannot_be_kept_is_refused(metadata):
    with pytest.raises(ValueError, match="identity metadata"):
        Identity(SMALL, None, metadata)


def test_the_callers_array_is_copied():
    array = np.ones((1, 2), np.float32)
    identity = Identity.from_array(array)
    array[0, 0] = 5
    assert identity.tokens[0, 0] == 1


# In memory


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda identity: pickle.loads(pickle.dumps(identity))],
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize("uncond", [None, SMALL + 1], ids=["alone", "with uncond"])
def test_an_identity_can_be_copied_and_sent_to_another_process(duplicate, uncond):
    identity = Identity(SMALL, uncond, {"created": "now", "face_box": (1, 2, 3, 4)}, "f16")
    other = duplicate(identity)
    assert np.array_equal(other.tokens, identity.tokens)
    assert (uncond is None) == (other.uncond_tokens is None)
    assert uncond is None or np.array_equal(other.uncond_tokens, uncond)
    assert (dict(other.metadata), other.dtype) == (dict(identity.metadata), "f16")
    assert other.sha256 == identity.sha256
    with pytest.raises(TypeError):
        other.metadata["created"] = "later"


@pytest.mark.parametrize("uncond", [None, np.ones((3, 4), np.float32)])
def test_bytes_are_those_of_the_file(tmp_path, uncond):
    identity = Identity(np.arange(1, 13).reshape(3, 4), uncond, {"created": "today"})
    identity.save(tmp_path / "a.pulidembd", "f32")
    content = identity.to_bytes("f32")
    assert content == (tmp_path / "a.pulidembd").read_bytes()
    for source in (content, io.BytesIO(content)):
        read = Identity.from_bytes(source)
        assert (read.sha256, read.metadata, read.dtype) == (
            identity.sha256,
            {"created": "today"},
            "f32",
        )
        assert (read.uncond_tokens is None) == (uncond is None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "nothing is in it"),
        (b"\xff\xd8\xff\xe0", "found a JPEG picture"),
        (b"GGUF", "the given identity"),
        (Identity(np.ones((3, 4))).to_bytes()[:-9], "the given identity"),
    ],
)
def test_bytes_that_are_no_identity_are_refused(content, words):
    with pytest.raises(IdentityFileError, match=words):
        Identity.from_bytes(content)


def test_a_repr_has_no_numbers_of_the_face():
    identity = Identity(
        np.full((3, 4), 0.123456), np.full((3, 4), 0.654321), {"face_box": (77, 78)}
    )
    for shown in (repr(identity), str(identity), f"{identity}"):
        assert shown == f"Identity({identity.short_hash}, 3 tokens of 4)"
