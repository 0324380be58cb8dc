"""The pipeline with the real engine and the pocket model."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from long_form import times
from pulid_sdcpp import (
    GenerationCancelled,
    GenerationOptions,
    Identity,
    ModelMismatchError,
    Person,
    ProgressEvent,
    PulidFlux,
    Region,
    StableDiffusion,
)
from pulid_sdcpp.model_files import description
from pulid_sdcpp.people import region_weights
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER, pocket_files
from pulid_sdcpp.system import image_file
from pulid_sdcpp.tensors import file_kinds, scaled_weights, tensor_file

IS_SHIPPED = (PACK_FOLDER / MANIFEST_NAME).is_file()
REQUIRE_POCKET = os.environ.get("PULID_REQUIRE_POCKET") == "1"

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        not (PACK_FOLDER / MANIFEST_NAME).is_file()
        and os.environ.get("PULID_REQUIRE_POCKET") != "1",
        reason="the pocket model is not in this folder",
    ),
]

# As small as the engine makes them.
TINY = {"width": 16, "height": 16, "steps": 1}
SMALL = {"width": 64, "height": 64, "steps": 2}
THREADS, PICTURES = 8, times(24, 100)


@pytest.fixture(scope="module")
def pipeline() -> Iterator[PulidFlux]:
    with PulidFlux.from_preset("pocket", backend="cpu") as pipeline:
        yield pipeline


def pocket_identity(number: int) -> Identity:
    """Nobody in particular, in the shape of the pocket model's identities."""
    random = np.random.default_rng(number)
    shape = (8, 256)
    return Identity.from_array(
        random.normal(size=shape), np.random.default_rng(10**6).normal(size=shape)
    )


def requests() -> list[dict[str, Any]]:
    """All different: one of five prompts, one of twenty people at most, and a seed."""
    people = [pocket_identity(number) for number in range(20)]
    return [
        {
            "prompt": f"photo of a person, {('red', 'blue', 'green', 'white', 'black')[index % 5]}",
            "identity": people[index // 5],
            "seed": index,
            **TINY,
        }
        for index in range(PICTURES)
    ]


@pytest.mark.long
def test_eight_threads_lose_and_mix_up_nothing(pipeline: PulidFlux) -> None:
    asked = requests()
    made: dict[int, str] = {}
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for request in asked[number::THREADS]:
                result = pipeline.generate(**request)
                assert result.seed == request["seed"]
                assert result.metadata.prompt == request["prompt"]
                identity: Identity = request["identity"]
                assert result.metadata.values["PuLID identity"] == identity.short_hash
                made[result.seed] = hashlib.sha256(result.image.tobytes()).hexdigest()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(made) == list(range(PICTURES))
    assert len(set(made.values())) == PICTURES
    with PulidFlux.from_preset("pocket", backend="cpu") as alone:
        # In another order, so that nothing that is kept from the last picture comes out the same.
        for request in sorted(asked, key=lambda request: (request["prompt"], -request["seed"])):
            picture = alone.generate(**request).image
            assert hashlib.sha256(picture.tobytes()).hexdigest() == made[request["seed"]]


def test_a_picture_is_the_engines_own(pipeline: PulidFlux) -> None:
    files = pocket_files()
    with StableDiffusion(
        diffusion_model_path=files.diffusion_model,
        taesd_path=files.taesd,
        clip_l_path=files.clip_l,
        pulid_weights=files.pulid_weights,
        backend="cpu",
    ) as engine:
        (image,) = engine.generate_image(
            "a face",
            pulid_id_embedding=pocket_identity(1),
            width=64,
            height=64,
            sample_steps=2,
            cfg_scale=1.0,
            sample_method="euler",
            scheduler="discrete",  # the preset's
            seed=3,
        )
    result = pipeline.generate("a face", pocket_identity(1), seed=3, **SMALL)
    assert result.image.tobytes() == image.convert("RGB").tobytes()
    nobody = pipeline.generate("a face", seed=3, **SMALL)
    assert nobody.image.tobytes() != result.image.tobytes()


def test_every_stage_is_told_in_order(pipeline: PulidFlux) -> None:
    events: list[ProgressEvent] = []
    with PulidFlux.from_preset("pocket", backend="cpu", on_event=events.append) as fresh:
        fresh.generate("not told before", pocket_identity(1), **SMALL)
    opened = [event.stage for event in events if event.step == 0]
    assert opened == ["load", "fold", "encode", "denoise", "decode"]
    steps = [(event.step, event.steps) for event in events if event.stage == "denoise"]
    assert steps[1:] == [(1, 2), (2, 2)]
    loaded = [event for event in events if event.stage == "load"]
    assert loaded[-1].step == loaded[-1].steps > 0


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(("method", "side"), [("proj", 8), ("tae", 64)])
def test_previews_change_nothing(pipeline: PulidFlux, method: str, side: int, noisy: bool) -> None:
    shown: list[Any] = []
    options: dict[str, Any] = {"seed": 5, **SMALL, "steps": 3}
    plain = pipeline.generate("a face", **options)
    result = pipeline.generate(
        "a face",
        on_preview=lambda image, step: shown.append((step, image.copy())),
        preview_method=method,
        preview_noisy=noisy,
        **options,
    )
    assert result.image.tobytes() == plain.image.tobytes()
    assert [(step, image.size) for step, image in shown] == [
        (step, (side, side)) for step in (1, 2, 3)
    ]
    assert len({image.tobytes() for _, image in shown}) == 3
    if noisy:  # the first is noise alone, and rougher than what the next step begins with
        rough = [
            float(np.abs(np.diff(np.asarray(image, float), axis=0)).mean()) for _, image in shown
        ]
        assert rough[0] > rough[2]


def test_cancelled_from_another_thread_and_usable(pipeline: PulidFlux) -> None:
    request: dict[str, Any] = {"prompt": "p", "identity": pocket_identity(2), "seed": 1, **SMALL}
    before = pipeline.generate(**request).image.tobytes()
    reached = threading.Event()
    steps: list[int] = []

    def tell(event: ProgressEvent) -> None:
        steps.append(event.step)
        if event.stage == "denoise" and event.step == 2:
            reached.set()

    def cancel() -> None:
        reached.wait()
        pipeline.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(GenerationCancelled):
        pipeline.generate(**{**request, "steps": 1000}, on_event=tell)
    thread.join()
    assert max(steps) < 1000
    assert pipeline.generate(**request).image.tobytes() == before


def test_random_cancels_stop_the_right_picture(pipeline: PulidFlux) -> None:
    """While one thread's pictures are cancelled all the time, the other's come out right."""
    request: dict[str, Any] = {"prompt": "p", "seed": 4, **SMALL}
    before = pipeline.generate(**request).image.tobytes()
    outcomes: list[str] = []
    ended = threading.Event()

    def work() -> None:
        for _ in range(12):
            try:
                picture = pipeline.generate(**request).image.tobytes()
                outcomes.append("same" if picture == before else "another")
            except GenerationCancelled:
                outcomes.append("cancelled")
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not ended.is_set():
        time.sleep(0.05)
        pipeline.cancel()
    thread.join()
    assert set(outcomes) <= {"same", "cancelled"}
    assert len(outcomes) == 12
    assert "cancelled" in outcomes
    assert pipeline.generate(**request).image.tobytes() == before


def test_errors_leave_it_usable(pipeline: PulidFlux) -> None:
    request: dict[str, Any] = {"prompt": "p", "identity": pocket_identity(2), "seed": 1, **SMALL}
    before = pipeline.generate(**request).image.tobytes()

    def fail(*arguments: object) -> None:
        raise KeyError("mine")

    for callback in ("on_event", "on_preview"):
        with pytest.raises(KeyError, match="mine"):
            pipeline.generate(**request, **{callback: fail})
    with pytest.raises(ModelMismatchError):
        pipeline.generate("p", Identity.from_array(np.ones((32, 2048))), **SMALL)
    assert pipeline.generate(**request).image.tobytes() == before


def test_two_people_each_on_their_side(pipeline: PulidFlux) -> None:
    left, right = Region(box=(0.0, 0.0, 0.5, 1.0)), Region(box=(0.5, 0.0, 0.5, 1.0))

    def make(*numbers: int) -> bytes:
        people = [
            Person(pocket_identity(number), region=region)
            for number, region in zip(numbers, (left, right), strict=True)
        ]
        result = pipeline.generate("two people", people, seed=6, **SMALL)
        assert result.metadata.values["PuLID box 2"] == "0.5 0.0 0.5 1.0"
        return result.image.tobytes()

    assert make(1, 2) == make(1, 2)
    assert len({make(1, 2), make(2, 1), make(1, 3)}) == 3


def test_a_result_with_everything_in_it_can_be_sent_to_another_process(
    pipeline: PulidFlux,
) -> None:
    """The binding notes C arrays and functions in the picture it hands out."""
    result = pipeline.generate(
        "a face",
        Person(pocket_identity(1), region=Region(box=(0, 0, 1, 0.5))),
        on_preview=lambda *_: None,
        sigmas=[1.0, 0.5, 0.0],
        seed=7,
        **{**SMALL, "steps": 2},
    )
    other = pickle.loads(pickle.dumps(result))
    assert other.image.tobytes() == result.image.tobytes()
    assert other.text == result.text
    assert copy.deepcopy(result).image.info["seed"] == 7


def test_everything_is_read_checked_and_drawn_once_for_a_picture(
    pipeline: PulidFlux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request does it, before the model is loaded; the engine finds it done."""
    counts: Counter[str] = Counter()

    def count(module: Any, name: str, what: Callable[..., str]) -> None:
        function = getattr(module, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            counts[what(*arguments)] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    shutil.copy(pocket_files().loras / "two-people.safetensors", tmp_path / "two.safetensors")
    Image.linear_gradient("L").resize((64, 64)).save(tmp_path / "start.png")
    Image.new("L", (64, 64), 255).save(tmp_path / "mask.png")
    count(GenerationOptions, "__post_init__", lambda options: "options")
    for module in (description, file_kinds, scaled_weights, tensor_file):
        count(module, "read_header", lambda content, source: Path(source).name)
    count(region_weights, "_draw", lambda *arguments: "region")
    count(image_file, "opened_picture", lambda *arguments: "picture")

    people = [
        Person(pocket_identity(1), region=Region(box=(0, 0, 0.5, 1))),
        Person(pocket_identity(2), region=Region(mask=tmp_path / "mask.png")),
    ]
    with PulidFlux.from_preset("pocket", backend="cpu", lora_model_dir=tmp_path) as pipeline:
        pipeline.load()
        for seed in (-1, 2):
            counts.clear()
            pipeline.generate(
                "two people <lora:two:0.5>", people, init_image=tmp_path / "start.png",
                seed=seed, **{**SMALL, "steps": 4},
            )  # fmt: skip
            assert counts["two.safetensors"] == (seed == -1)
            assert (counts["options"], counts["region"], counts["picture"]) == (1, 2, 2)
