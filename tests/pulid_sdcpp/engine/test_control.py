"""FLUX.1 Canny and Depth models follow a picture; no other Flux model takes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp import Identity, Person, StableDiffusion

pytestmark = pytest.mark.engine

PICTURE = {"width": 32, "height": 32, "sample_steps": 1, "cfg_scale": 1.0, "seed": 5}


def test_the_picture_is_followed(
    make_weights: Callable[..., dict[str, Path]],
    load_engine: Callable[..., StableDiffusion],
    make_identity: Callable[[int], Identity],
    tmp_path: Path,
) -> None:
    weights = make_weights(depth=2, depth_single=1, hidden=128, in_channels=128)
    drawn = np.zeros((32, 32, 3), np.uint8)
    drawn[8:24, 8:24] = 255
    square = Image.fromarray(drawn)
    square.save(tmp_path / "square.png")
    with load_engine(weights, backend="cpu") as engine:

        def made(**options: object) -> bytes:
            (image,) = engine.generate_image("a house", **{**PICTURE, **options})
            return image.tobytes()

        seen = {
            made(),
            made(control_image=square),
            made(control_image=square, canny=True),
            made(control_image=square, pulid_people=[Person(make_identity(1))]),
        }
        assert len(seen) == 4
        assert made(control_image=tmp_path / "square.png") in seen
        with pytest.raises(ValueError, match="has no second pass"):
            made(control_image=square, hires=True)


def test_it_is_not_left_out_where_nothing_reads_it(
    make_weights: Callable[..., dict[str, Path]], load_engine: Callable[..., StableDiffusion]
) -> None:
    weights = make_weights(depth=1, depth_single=1, hidden=128, in_channels=128)
    with (
        load_engine(weights, backend="cpu", vae_decode_only=True) as engine,
        pytest.raises(ValueError, match=r"control_image is given.*vae_decode_only"),
    ):
        engine.generate_image("", control_image=Image.new("RGB", (32, 32)), **PICTURE)


def test_other_models_take_none(
    standin_weights: dict[str, Path], load_engine: Callable[..., StableDiffusion]
) -> None:
    with (
        load_engine(standin_weights, backend="cpu") as engine,
        pytest.raises(ValueError, match=r"no FLUX\.1 Canny"),
    ):
        engine.generate_image("", control_image=Image.new("RGB", (32, 32)), **PICTURE)
