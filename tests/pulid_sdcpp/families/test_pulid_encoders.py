"""Which of PuLID's encoders a weights file belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_drafts import pulid_shapes, write_empty_safetensors, write_sdxl_pulid
from pulid_sdcpp.families.pulid_encoders import encoders_of_weights


@pytest.mark.parametrize(
    ("version", "encoders"),
    [("v1", ("sdxl-v1",)), ("v1.1", ("sdxl-v1.1",)), (None, ("sdxl-v1", "sdxl-v1.1"))],
)
def test_weights_for_sdxl(tmp_path: Path, version: str | None, encoders: tuple[str, ...]) -> None:
    assert encoders_of_weights(write_sdxl_pulid(tmp_path / "w.safetensors", version)) == encoders


def test_weights_for_flux_and_what_cannot_be_read(tmp_path: Path) -> None:
    path = write_empty_safetensors(tmp_path / "flux.safetensors", pulid_shapes())
    assert encoders_of_weights(path) == ("flux",)
    assert encoders_of_weights(tmp_path / "none.safetensors") == ("flux",)
    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    assert encoders_of_weights(tmp_path / "noise.safetensors") == ("flux",)
    assert encoders_of_weights(None) == ()
