"""Whole pictures of SDXL with PuLID, from text to colours: the engine's and the definition's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from definition import clip_l, unet_picture  # noqa: E402
from definition.unet_graph import UnetPerson, size_vector  # noqa: E402
from definition.unet_picture import SdxlText, UnetPictures  # noqa: E402
from definition.unet_pulid import UnetUse  # noqa: E402
from pulid_sdcpp import Identity, Person, StableDiffusion  # noqa: E402

pytestmark = pytest.mark.engine

Files = dict[str, Path]
PICTURE: dict[str, Any] = {"width": 128, "height": 64, "cfg_scale": 1.2, "seed": 3}
WEIGHT, ZEROS = 0.8, 8
SAME = 2.0
"""Mean difference, of 255. Rounding to whole numbers is a quarter of one. Exact arithmetic, which
rounds nothing, differs by 2.5 after four steps: random networks make much of a little."""
SEEN = 2.5 * SAME


def use(tokens: np.ndarray | None) -> list[UnetPerson]:
    assert tokens is not None
    return [UnetPerson(UnetUse(tokens.astype(np.float64), WEIGHT, "ortho_v2", ZEROS))]


@pytest.fixture(scope="module")
def alice(make_sdxl_identity: Callable[..., Identity]) -> Identity:
    return make_sdxl_identity(1, 10, "sdxl-v1")


@pytest.fixture(scope="module")
def engine(
    small_sdxl_weights: Files, load_sdxl: Callable[..., StableDiffusion]
) -> Iterator[StableDiffusion]:
    options = {"pulid": "pulid-v1", "backend": "cpu", "rng_type": "cpu", "n_threads": 1}
    with load_sdxl(small_sdxl_weights, **options) as engine:
        yield engine


@pytest.fixture(scope="module")
def defined(small_sdxl_weights: Files, alice: Identity) -> Callable[..., np.ndarray]:
    """A picture of Alice by the definition, unless something else is said."""
    pictures = UnetPictures(small_sdxl_weights, "pulid-v1", as_engine=True)
    people = {"people": use(alice.tokens), "negative_people": use(alice.uncond_tokens)}

    def made(steps: int = 1, **options: Any) -> np.ndarray:
        return pictures.picture("a car", steps=steps, **{**PICTURE, **people, **options})

    return made


@pytest.fixture(scope="module")
def found(engine: StableDiffusion, alice: Identity) -> dict[int, np.ndarray]:
    """The engine's pictures of Alice, by their steps."""

    def pixels(steps: int) -> np.ndarray:
        (made,) = engine.generate_image(
            "a car", sample_method="dpm++2m", scheduler="sgm_uniform", sample_steps=steps,
            pulid_people=[Person(alice, WEIGHT)], **PICTURE,
        )  # fmt: skip
        return np.asarray(made.convert("RGB")).astype(np.float32)

    return {steps: pixels(steps) for steps in (1, 4)}


def difference(a: np.ndarray, b: np.ndarray) -> float:
    mean = float(np.abs(a - b).mean())
    print(f"mean difference {mean:.2f}")
    return mean


@pytest.mark.parametrize("steps", [1, 4])
def test_a_picture_of_a_person(
    found: dict[int, np.ndarray], defined: Callable[..., np.ndarray], steps: int
) -> None:
    assert difference(found[steps], defined(steps)) < SAME


def test_steps_with_fresh_noise_in_each(
    engine: StableDiffusion, alice: Identity, defined: Callable[..., np.ndarray]
) -> None:
    """The noise is torch's within steps, too: the sampler's generator is that of `rng_type`."""
    picture = {**PICTURE, "width": 64}
    (made,) = engine.generate_image(
        "a car", sample_method="dpm++sde", scheduler="karras", sample_steps=3, eta=1.0,
        pulid_people=[Person(alice, WEIGHT)], **picture,
    )  # fmt: skip
    found = np.asarray(made.convert("RGB")).astype(np.float32)
    assert difference(found, defined(3, sde_eta=1.0, width=64)) < SAME
    assert difference(found, defined(3, sde_eta=0.5, width=64)) > SEEN


@pytest.mark.parametrize(
    "options",
    [{"people": (), "negative_people": ()}, {"negative_people": ()}, {"negative_prompt": "red"}],
    ids=["nobody", "no unconditional identity", "negative prompt"],
)
def test_another_picture_is_seen(
    found: dict[int, np.ndarray], defined: Callable[..., np.ndarray], options: dict[str, Any]
) -> None:
    assert difference(found[1], defined(**options)) > SEEN


@pytest.mark.parametrize(
    ("of", "name", "mistaken"),
    [
        (unet_picture, "size_vector", lambda pooled, w, h: size_vector(pooled, h, w)),
        (unet_picture, "ZERO_PADDING", clip_l.END),
        (SdxlText, "negative_context", SdxlText.context),
    ],
    ids=["sizes swapped", "CLIP-G padded as CLIP-L", "empty text not zeroed"],
)
def test_a_mistake_is_seen(
    found: dict[int, np.ndarray],
    defined: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    of: Any,
    name: str,
    mistaken: object,
) -> None:
    monkeypatch.setattr(of, name, mistaken)
    assert difference(found[1], defined()) > SEEN
