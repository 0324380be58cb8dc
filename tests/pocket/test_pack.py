"""The pack as it is shipped: small enough, nothing but weights and pictures, its own portraits."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocket.pack import SHIPPED, draw_references
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER

MAX_BYTES = 32_000_000
"""In the wheel, which is a zip archive."""
KINDS = {".gguf", ".safetensors", ".onnx", ".png", ".json"}

pytestmark = pytest.mark.skipif(
    not (PACK_FOLDER / MANIFEST_NAME).is_file() and os.environ.get("PULID_REQUIRE_POCKET") != "1",
    reason="the pocket model is not in this folder",
)


def shipped() -> list[Path]:
    return [path for path in PACK_FOLDER.rglob("*") if path.is_file()]


def test_it_takes_less_than_32_mb_in_the_wheel() -> None:
    total = sum(len(zlib.compress(path.read_bytes())) for path in shipped())
    assert total <= MAX_BYTES, f"{total / 1e6:.2f} MB"


def test_it_holds_nothing_that_could_run_code() -> None:
    assert {path.suffix for path in shipped()} == KINDS


def test_the_manifest_names_every_file() -> None:
    manifest = json.loads((PACK_FOLDER / MANIFEST_NAME).read_text(encoding="utf-8"))
    text = json.dumps(manifest)
    for path in shipped():
        if path.name != MANIFEST_NAME:
            assert path.relative_to(PACK_FOLDER).as_posix() in text


def test_the_portraits_are_those_of_their_seed(tmp_path: Path) -> None:
    draw_references(tmp_path)
    for name in SHIPPED:
        drawn, kept = (
            np.asarray(Image.open(folder / f"{name}.png").convert("RGB"), int)
            for folder in (tmp_path, PACK_FOLDER / "portraits")
        )
        # Another version of Pillow may draw an edge a little differently.
        assert np.abs(drawn - kept).mean() < 1
