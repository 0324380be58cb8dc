"""Packs laid out like the shipped pocket model's, for tests that do not need its training."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from file_drafts import F32, draft_gguf, gguf_tensor, string
from pulid_sdcpp.pocket.pack import write_manifest

NAMES = (
    "flux1-schnell-pocket.gguf",
    "pulid_flux_v0.9.1.safetensors",
    "taef1.safetensors",
    "text_encoder.safetensors",
    "EVA02_CLIP_L_336_psz14_s6B.safetensors",
    "parsing_bisenet.safetensors",
    "antelopev2/scrfd_10g_bnkps.onnx",
    "antelopev2/glintr100.onnx",
    "judge.onnx",
    "attributes.onnx",
)


def draft_pack(folder: Path, portraits: dict[str, Image.Image]) -> Path:
    """A pack whose models are a few bytes each."""
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    _add_portraits(folder, portraits)
    return folder


def standin_pack(folder: Path, portraits: dict[str, Image.Image]) -> Path:
    """A pack of stand-ins, which work and make noise."""
    from standin import make_standin_weights
    from standin.extractor.networks import idformer_tensors, make_extractor_standins
    from standin.extractor.recogniser import recogniser_model

    files = make_standin_weights(
        folder, quantizations=("q8_0",), idformer_tensors=idformer_tensors()
    )
    make_extractor_standins(folder)
    files["flux-q8_0"].rename(folder / "flux1-schnell-pocket.gguf")
    files["clip_l"].rename(folder / "text_encoder.safetensors")
    (folder / "judge.onnx").write_bytes(recogniser_model(seed=1))
    (folder / "attributes.onnx").touch()
    _add_portraits(folder, portraits)
    return folder


def expand_with(
    monkeypatch: pytest.MonkeyPatch, expand: Callable[[Path, Path], None] | None = None
) -> list[Path]:
    """Let the text encoder be expanded otherwise; returns what it is told to write.

    Args:
        expand: None: copies the stand-in pack's text encoder, which is whole already.
    """
    calls: list[Path] = []

    def told(compact: Path, output: Path) -> None:
        calls.append(output)
        (expand or shutil.copyfile)(compact, output)

    module = SimpleNamespace(expand_text_encoder=told)
    monkeypatch.setitem(sys.modules, "pulid_sdcpp.pocket.text_encoder", module)
    return calls


def write_small_gguf(compact: Path, output: Path) -> None:
    """A gguf file with one tensor, whatever it is to be made of."""
    output.write_bytes(
        draft_gguf(
            {"general.architecture": string("test")},
            [gguf_tensor("ones", (8, 4), F32, 0)],
            np.ones((4, 8), "<f4").tobytes(),
        )
    )


def _add_portraits(folder: Path, portraits: dict[str, Image.Image]) -> None:
    (folder / "portraits").mkdir(exist_ok=True)
    for name, picture in portraits.items():
        picture.save(folder / "portraits" / f"{name}.png")
    write_manifest(folder)
