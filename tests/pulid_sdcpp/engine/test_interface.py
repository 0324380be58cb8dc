"""The typed door into the engine, and that the binding's drop-in leads to the same place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fake_engine import FakeEngine
from pulid_sdcpp import GenerationOptions, Identity, Person, ProgressEvent, Region, StableDiffusion
from pulid_sdcpp.engine import factory
from pulid_sdcpp.engine.interface import CreateEngine, Engine, Preview

LEFT, RIGHT = Region(box=(0, 0, 0.5, 1)), Region(box=(0.5, 0, 0.5, 1))
SMALL = {"width": 64, "height": 32, "steps": 2, "seed": 5}


@pytest.fixture(scope="module")
def engine(
    standin_weights: dict[str, Path], load_engine: Callable[..., StableDiffusion]
) -> Iterator[StableDiffusion]:
    with load_engine(standin_weights, backend="cpu") as engine:
        yield engine


def test_both_engines_are_ones() -> None:
    """A type checker reads this; what it says is checked when the code is."""

    def takes(create: CreateEngine, *engines: type[Engine]) -> None:
        for kind in engines:
            for name in ("generate", "default_scheduler", "cancel", "close"):
                assert callable(getattr(kind, name))

    takes(factory.load_engine, StableDiffusion, FakeEngine)
    takes(FakeEngine().create)


@pytest.mark.parametrize(
    ("values", "words"),
    [({"method": "sketch"}, "preview_method is 'sketch'"), ({"interval": 0}, "preview_interval")],
)
def test_a_preview_checks_itself(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Preview(lambda image, step: None, **values)


@pytest.mark.engine
@pytest.mark.parametrize("who", ["nobody", "one", "two"])
def test_both_ways_make_the_same_picture(
    engine: StableDiffusion, make_identity: Callable[[int], Identity], who: str
) -> None:
    alice, bob = make_identity(1), make_identity(2)
    people = {
        "nobody": [],
        "one": [Person(alice, weight=0.7, start_step=1)],
        "two": [Person(alice, region=LEFT), Person(bob, region=RIGHT)],
    }[who]
    picture = GenerationOptions("a face", negative_prompt="hat", cfg_scale=2.0, **SMALL)
    (typed,) = engine.generate(picture, people, cfg_start_step=1)
    arguments: dict[str, Any] = {"pulid_people": people}
    if who == "one":
        arguments = {"pulid_id_embedding": alice, "pulid_id_weight": 0.7, "pulid_start_step": 1}
    (loose,) = engine.generate_image(
        *("a face", "hat"), width=64, height=32, sample_steps=2, seed=5, cfg_scale=2.0,
        eta=float("inf"), cfg_start_step=1, **arguments,
    )  # fmt: skip
    assert typed.tobytes() == loose.tobytes()
    assert typed.info["seed"] == loose.info["seed"]


@pytest.mark.engine
def test_options_are_not_checked_again(
    engine: StableDiffusion, make_identity: Callable[[int], Identity],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    picture = GenerationOptions("a face", **{**SMALL, "seed": -1})
    person = Person(make_identity(1), region=LEFT)

    def refuse(options: GenerationOptions) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(GenerationOptions, "__post_init__", refuse)
    assert len(engine.generate(picture, [person])) == 1


@pytest.mark.engine
def test_a_preview_is_shown_once_a_step(engine: StableDiffusion) -> None:
    seen: list[tuple[str, int]] = []
    events: list[ProgressEvent] = []

    def show(image: Image.Image, step: int) -> None:
        seen.append((image.mode, step))

    picture = GenerationOptions("a face", cfg_scale=2.0, **{**SMALL, "steps": 3})
    engine.generate(picture, preview=Preview(show), on_event=events.append)
    assert seen == [("RGB", 1), ("RGB", 2), ("RGB", 3)]
    assert [event.step for event in events if event.stage == "denoise"] == [0, 1, 2, 3]
