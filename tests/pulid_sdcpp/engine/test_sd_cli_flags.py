"""What flags of sd-cli do to pictures: tiles, previews by another autoencoder, layers left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp import GenerationOptions, StableDiffusion
from pulid_sdcpp.engine.interface import Preview

pytestmark = pytest.mark.engine

SIDE = 64
SIZES = {"depth": 2, "depth_single": 2, "hidden": 128}


@pytest.fixture(scope="module")
def weights(make_weights: Callable[..., dict[str, Path]]) -> dict[str, Path]:
    return make_weights(**SIZES)


@pytest.fixture(scope="module")
def engine(weights: dict[str, Path], load_engine: Callable[..., Any]) -> Iterator[StableDiffusion]:
    with load_engine(weights, pulid=False, n_threads=1) as loaded:
        yield loaded


def pixels(engine: StableDiffusion, preview: Preview | None = None, **options: Any) -> np.ndarray:
    made = {"width": SIDE, "height": SIDE, "steps": 3, "seed": 7, **options}
    (picture,) = engine.generate(GenerationOptions("a face", **made), preview=preview)
    return np.asarray(picture.convert("RGB")).astype(np.int32)


def seams(picture: np.ndarray) -> tuple[float, float]:
    """How much the edges differ that a tile brings together: left and right, top and bottom."""
    across = np.abs(picture[:, 0] - picture[:, -1]).mean()
    down = np.abs(picture[0] - picture[-1]).mean()
    return float(across), float(down)


@pytest.mark.parametrize("axes", ["x", "y", "xy"])
def test_a_circular_picture_has_no_seam(
    engine: StableDiffusion, weights: dict[str, Path], load_engine: Callable[..., Any], axes: str
) -> None:
    circular = {f"circular_{axis}": True for axis in axes}
    with load_engine(weights, pulid=False, n_threads=1, **circular) as loaded:
        now = seams(pixels(loaded))
    before = seams(pixels(engine))
    for axis, plain, tiled in zip("xy", before, now, strict=True):
        assert (tiled < plain / 2) == (axis in axes)


def test_a_tiny_autoencoder_can_be_for_previews_only(weights: dict[str, Path]) -> None:
    files: dict[str, Any] = {
        "diffusion_model_path": weights["flux-f16"], "clip_l_path": weights["clip_l"],
        "vae_path": weights["vae"], "vae_decode_only": True, "n_threads": 1,
    }  # fmt: skip
    shown: list[Image.Image] = []
    preview = Preview(lambda image, step: shown.append(image.copy()), "tae")
    with StableDiffusion(**files) as loaded:
        plain = pixels(loaded)
    with StableDiffusion(**files, taesd_path=weights["taesd"], tae_preview_only=True) as loaded:
        both = pixels(loaded, preview)
    with StableDiffusion(**files, taesd_path=weights["taesd"]) as loaded:
        tiny = pixels(loaded)
    assert np.array_equal(both, plain)
    assert not np.array_equal(both, tiny)
    assert np.array_equal(np.asarray(shown[-1]), tiny)  # after the last step it is the picture


def test_layers_are_left_out_in_their_steps_only(engine: StableDiffusion) -> None:
    shown: list[bytes] = []
    preview = Preview(lambda image, step: shown.append(image.tobytes()), "proj")
    plain = pixels(engine, preview)
    without, guided_steps = list(shown), {"skip_layer_start": 0.26, "skip_layer_end": 1}
    shown.clear()
    guided = pixels(engine, preview, slg_scale=3, skip_layers=(1, 3), **guided_steps)
    assert shown[0] == without[0]  # steps 2 and 3 of 3
    assert shown[1] != without[1]
    assert not np.array_equal(guided, plain)
    other = pixels(engine, slg_scale=3, skip_layers=(0,), **guided_steps)
    assert not np.array_equal(guided, other)
    assert np.array_equal(pixels(engine, slg_scale=0, skip_layers=(1, 3), **guided_steps), plain)
    with pytest.raises(ValueError, match="skip_layers has 4, but this model has the layers 0 to 3"):
        pixels(engine, slg_scale=1, skip_layers=(4,), **guided_steps)
