"""Identities found again by their hash, and kept exactly as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.store import find_identity, keep_identity


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where identities are kept."""
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "identities"


def somebody(seed: int) -> Identity:
    tokens = np.random.default_rng(seed).normal(size=(2, 32, 64))
    return Identity.from_array(*tokens, extractor_version="1")


def test_an_identity_is_found_by_its_hash(tmp_path: Path) -> None:
    enrolled = somebody(1)
    keep_identity(enrolled)
    found = find_identity(enrolled.short_hash)
    assert found is not None
    assert found.sha256 == enrolled.sha256
    assert find_identity(enrolled.sha256.upper()) is not None
    assert find_identity(enrolled.short_hash + "000000") is None
    stranger = somebody(7)
    assert find_identity(stranger.short_hash) is None
    people = tmp_path / "people"
    people.mkdir()
    (people / "a damaged one.pulidembd").write_bytes(b"GGUF")
    stranger.save(people / "stranger.pulidembd")
    found = find_identity(stranger.short_hash, [tmp_path / "absent", people])
    assert found is not None
    assert found.sha256 == stranger.sha256


@pytest.mark.parametrize("wrong", ["", "12345678", "0123456789g", "*" * 10])
def test_no_hash(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected 10 hexadecimal digits or more"):
        find_identity(wrong)


def test_an_identity_with_an_unconditional_part_comes_first(tmp_path: Path) -> None:
    whole = somebody(1)
    half = Identity(whole.tokens)
    half.save(tmp_path / "a.pulidembd")
    found = find_identity(whole.short_hash, [tmp_path])
    assert found is not None
    assert found.uncond_tokens is None
    whole.save(tmp_path / "b.pulidembd")
    found = find_identity(whole.short_hash, [tmp_path])
    assert found is not None
    assert found.uncond_tokens is not None


def test_what_is_kept_is_found_exactly_as_it_was(cache: Path) -> None:
    identity = somebody(1)
    assert not np.array_equal(identity.tokens, identity.tokens.astype(np.float16))
    for _ in range(2):
        keep_identity(identity)
    found = find_identity(identity.short_hash)
    assert found is not None
    assert np.array_equal(found.tokens, identity.tokens)
    assert np.array_equal(found.uncond_tokens, identity.uncond_tokens)
    assert (found.metadata, found.dtype) == (identity.metadata, identity.dtype)
    assert len(list(cache.glob("*.pulidembd"))) == 1
    # A copy in float16 has the same hash, but makes a picture of its own.
    rounded = Identity(identity.tokens.astype(np.float16), identity.uncond_tokens, dtype="f16")
    assert rounded.short_hash == identity.short_hash
    keep_identity(rounded)
    assert len(list(cache.glob("*.pulidembd"))) == 2
