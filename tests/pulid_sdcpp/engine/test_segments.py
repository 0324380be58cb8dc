"""Cancelled or failed in the midst of a model that is streamed in segments: no trace is left.

On Vulkan, where there are segments; any driver will do. One engine at a time (native/README.md).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from long_form import times
from pulid_sdcpp import GenerationCancelled, Identity, StableDiffusion
from pulid_sdcpp.native.log import LOGGER

pytestmark = [pytest.mark.engine, pytest.mark.vulkan]

SEGMENTS = {
    "backend": "diffusion=vulkan0,clip=cpu,vae=cpu",
    "offload_params_to_cpu": True,
    "max_vram": 0.0002,
}
RANDOM = np.random.default_rng(5)
INPUTS = (
    RANDOM.normal(size=(16, 4, 4)),
    0.5,
    RANDOM.normal(size=(4, 4096)),
    RANDOM.normal(size=768),
)
PICTURE = {"width": 32, "height": 32, "cfg_scale": 1.0, "seed": 7, "sample_steps": 1}
ATTEMPTS = times(6, 100)  # cancellations
Load = Callable[..., StableDiffusion]
MakeIdentity = Callable[[int], Identity]


class Messages(logging.Handler):
    """Calls `on_message` for each message of the engine, on its thread, while it works."""

    def __init__(self, on_message: Callable[[str], object]) -> None:
        super().__init__(logging.DEBUG)
        self._on_message = on_message

    def emit(self, record: logging.LogRecord) -> None:
        self._on_message(record.getMessage())


@contextmanager
def told(on_message: Callable[[str], object]) -> Iterator[None]:
    handler, level = Messages(on_message), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


@pytest.fixture(scope="module")
def weights(make_weights: Callable[..., dict[str, Path]]) -> dict[str, Path]:
    return make_weights(depth=1, depth_single=1, hidden=128)


@pytest.fixture
def engine(weights: dict[str, Path], load_engine: Load) -> Iterator[StableDiffusion]:
    with load_engine(weights, **SEGMENTS) as loaded:
        yield loaded


def picture(engine: StableDiffusion, identity: Identity | None) -> bytes:
    (made,) = engine.generate_image("a", pulid_id_embedding=identity, **PICTURE)
    return made.tobytes()


def evaluation(engine: StableDiffusion, identity: Identity | None) -> bytes:
    """What a picture is made of, with fewer tokens of text: a hundredth of its time here."""
    return engine.evaluate(*INPUTS, pulid_id_embedding=identity).tobytes()


@pytest.mark.long
def test_what_is_made_after_a_cancellation_at_any_moment(
    engine: StableDiffusion, make_identity: MakeIdentity
) -> None:
    """Half of the moments are a message of the engine's, the others any time at all.

    One in ten is of a picture, the others of an evaluation; with an identity or without.
    """
    people = [make_identity(1), None]
    expected, messages, seconds = {}, {}, {}
    for make in (evaluation, picture):
        expected[make] = [make(engine, person) for person in people]
        said: list[str] = []
        started = time.monotonic()
        with told(said.append):
            assert [make(engine, person) for person in people] == expected[make]
        seconds[make] = (time.monotonic() - started) / 2
        messages[make] = len(said) // 2
        assert sum("executing segment" in message for message in said) >= 8

    chance, cancelled = random.Random(3), 0
    for attempt in range(ATTEMPTS):
        make = evaluation if attempt % 10 else picture
        stopped, made_next = chance.choice(people), chance.randrange(2)
        left = chance.randrange(messages[make])
        delay_s = chance.random() * seconds[make]

        def count(_message: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                engine.cancel()

        timer = threading.Timer(delay_s, engine.cancel)
        try:
            if attempt % 2:
                timer.start()
                make(engine, stopped)
            else:
                with told(count):
                    make(engine, stopped)
        except GenerationCancelled:
            cancelled += 1
        finally:
            timer.cancel()
        assert make(engine, people[made_next]) == expected[make][made_next], f"attempt {attempt}"
    print(f"{cancelled} of {ATTEMPTS} cancelled")
    assert cancelled > ATTEMPTS // 3


@pytest.mark.parametrize("segment", [1, 2, 4])
def test_what_is_made_after_a_cancellation_between_segments(
    engine: StableDiffusion, make_identity: MakeIdentity, segment: int
) -> None:
    """What the first segments handed on is neither kept nor taken for the next one's."""
    person = make_identity(1)
    expected = evaluation(engine, person)

    def cancel(message: str) -> None:
        if f"executing segment {segment}/4" in message:
            engine.cancel()

    with told(cancel), pytest.raises(GenerationCancelled):
        evaluation(engine, person)
    assert evaluation(engine, None) != expected
    assert evaluation(engine, person) == expected


@pytest.fixture(scope="module")
def sdxl(
    small_sdxl_weights: dict[str, Path], load_sdxl: Load
) -> Iterator[tuple[StableDiffusion, int]]:
    """An engine of SDXL, and in how many segments it computes."""
    said: list[str] = []
    with load_sdxl(small_sdxl_weights, **{**SEGMENTS, "max_vram": 0.002}) as engine:
        with told(said.append):
            sdxl_picture(engine, None)
        yield engine, sum("executing segment" in message for message in said)


def sdxl_picture(engine: StableDiffusion, identity: Identity | None) -> bytes:
    options = {**PICTURE, "width": 64, "height": 64}
    (made,) = engine.generate_image("a", pulid_id_embedding=identity, **options)
    return made.tobytes()


@pytest.mark.parametrize("share", [0.5, 1.0], ids=["half-way", "in the last"])
def test_sdxl_after_a_cancellation_between_segments(
    sdxl: tuple[StableDiffusion, int], make_sdxl_identity: Callable[..., Identity], share: float
) -> None:
    """The next picture's bytes are those of an undisturbed one, with the person and without."""
    engine, n_segments = sdxl
    assert n_segments > 4
    alice = make_sdxl_identity(1)
    expected = [sdxl_picture(engine, person) for person in (alice, None)]
    assert expected[0] != expected[1]
    left = max(1, round(share * n_segments))

    def cancel(message: str) -> None:
        nonlocal left
        left -= "executing segment" in message
        if not left:
            engine.cancel()

    with told(cancel), pytest.raises(GenerationCancelled):
        sdxl_picture(engine, alice)
    assert [sdxl_picture(engine, person) for person in (None, alice)] == expected[::-1]


def test_text_encoders_leave_the_card_when_they_are_cancelled(
    weights: dict[str, Path], load_engine: Load
) -> None:
    """Offloaded, they are there while they compute only."""
    moves: list[str] = []

    def note(message: str) -> None:
        if "offload params" in message:
            moves.append(message)
            if len(moves) == 1:
                engine.cancel()

    text = {**SEGMENTS, "backend": "diffusion=cpu,clip=vulkan0,vae=cpu", "max_vram": 0.0}
    with load_engine(weights, **text) as engine, told(note):
        with pytest.raises(GenerationCancelled):
            picture(engine, None)
        picture(engine, None)
    assert len(moves) == 2  # it had to come back
    assert all(message.split(" - ")[-1].startswith("clip") for message in moves), moves
