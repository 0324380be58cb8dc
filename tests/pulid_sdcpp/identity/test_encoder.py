"""Which encoder made an identity: said in its file, and what does not fit is refused by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from file_drafts import F16, IDENTITY_METADATA, draft_gguf, gguf_tensor, string, u32
from pulid_sdcpp.errors import IdentityFileError, ModelMismatchError
from pulid_sdcpp.identity.encoder import (
    ENCODERS,
    EXTRACTION_PARTS,
    FLUX,
    SDXL_V1,
    SDXL_V1_1,
    check_encoder,
    check_encoder_fits,
    encoder_words,
)
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.store.registry import load_registry

TOKENS = np.arange(1, 9, dtype=np.float16).reshape(2, 4)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_file_says_its_encoder(tmp_path: Path, encoder: str) -> None:
    path = tmp_path / "alice.pulidembd"
    Identity.from_array(TOKENS, encoder=encoder).save(path)
    loaded = Identity.load(path)
    assert loaded.encoder == encoder
    assert Identity.from_bytes(loaded.to_bytes()).encoder == encoder
    assert dataclasses.replace(loaded, dtype="f32").encoder == encoder


def test_one_that_does_not_say_is_for_flux(tmp_path: Path) -> None:
    path = tmp_path / "alice.pulidembd"
    Identity.from_array(TOKENS).save(path)
    assert b"encoder" not in path.read_bytes()
    assert Identity.load(path).encoder == "flux"


@pytest.mark.parametrize("value", [string("sdxl-v2"), string("x" * 4000), u32(1)])
def test_a_file_of_an_unknown_encoder_is_refused(tmp_path: Path, value: bytes) -> None:
    path = tmp_path / "alice.pulidembd"
    metadata = {**IDENTITY_METADATA, "pulid.encoder": value}
    tensor = gguf_tensor("pulid_id", (4, 2), F16, 0)
    path.write_bytes(draft_gguf(metadata, [tensor], TOKENS.tobytes()))
    with pytest.raises(IdentityFileError, match=r"alice\.pulidembd: pulid\.encoder .* newer"):
        Identity.load(path)


def test_an_identity_of_an_unknown_encoder_cannot_be_made() -> None:
    with pytest.raises(ValueError, match=r"encoder 'sd15': expected flux, sdxl-v1 or sdxl-v1\.1"):
        Identity.from_array(TOKENS, encoder="sd15")


def test_names_are_checked_and_have_words() -> None:
    assert check_encoder("sdxl-v1.1") == SDXL_V1_1
    for wrong in ("SDXL-v1", "", None, 3):
        with pytest.raises(ValueError, match="expected flux"):
            check_encoder(wrong)
    assert len({encoder_words(encoder) for encoder in ENCODERS}) == 3


@pytest.mark.parametrize("found", ENCODERS)
@pytest.mark.parametrize("expected", [(FLUX,), (SDXL_V1,), (SDXL_V1_1,), (SDXL_V1, SDXL_V1_1)])
def test_an_identity_fits_only_weights_of_its_encoder(found: str, expected: tuple) -> None:
    if found in expected:
        check_encoder_fits(found, expected, "w.safetensors")
        return
    with pytest.raises(ModelMismatchError) as caught:
        check_encoder_fits(found, expected, "w.safetensors")
    message = str(caught.value)
    assert message.startswith("w.safetensors: expected an identity made by ")
    assert f"found one made by {encoder_words(found)}" in message
    assert all(encoder_words(encoder) in message for encoder in expected)


def test_the_error_names_the_part_to_extract_with() -> None:
    with pytest.raises(ModelMismatchError, match="again for these weights: --preset extraction-sd"):
        check_encoder_fits("flux", ("sdxl-v1.1",), "w.safetensors")
    assert set(EXTRACTION_PARTS) == set(ENCODERS)
    assert set(EXTRACTION_PARTS.values()) <= set(load_registry().parts)
