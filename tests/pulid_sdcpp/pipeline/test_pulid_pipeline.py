"""The pipeline around an engine that computes nothing."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fake_engine import Call, FakeEngine
from fake_pipeline import CONTEXT, pipelines
from pulid_sdcpp import (
    ContextOptions,
    GenerationCancelled,
    GenerationError,
    Identity,
    IdentityFileError,
    ImageFileError,
    ModelFileError,
    Person,
    ProgressEvent,
    PulidFlux,
    Region,
)
from pulid_sdcpp.identity.kept_people import keep_person
from pulid_sdcpp.request.generate_request import settle
from pulid_sdcpp.system.user_folders import cache_folder

MakeIdentity = Callable[[int], Identity]

LEFT = Region(box=(0.0, 0.0, 0.5, 1.0))


class SteppingEngine(FakeEngine):
    """Waits in front of its second step for `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.reached, self.cancels = threading.Event(), threading.Event(), 0

    def step(self, call: Call, step: int) -> None:
        if step == 1:
            self.reached.set()
            self.go.wait()
        super().step(call, step)

    def cancel(self) -> None:
        self.cancels += 1


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def make() -> Iterator[Callable[..., PulidFlux]]:
    with pipelines() as make:
        yield make


@pytest.fixture
def pipeline(make: Callable[..., PulidFlux], engine: FakeEngine) -> PulidFlux:
    return make(engine, preset="mine")


def start(call: Callable[[], object]) -> tuple[threading.Thread, list[Any]]:
    """Run `call` on a thread; its result or exception comes into the list."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_a_picture_with_settings_options_and_its_text(
    pipeline: PulidFlux, engine: FakeEngine, make_identity: MakeIdentity
) -> None:
    assert engine.context is None
    alice = make_identity(1)
    result = pipeline.generate("a face", alice, weight=0.8, start_step=0.25, seed=7, height=32)
    assert (result.image.size, result.image.mode, result.seed) == ((32, 32), "RGB", 7)
    call = engine.calls[0]
    assert (call.picture.steps, call.picture.width, call.picture.height) == (3, 32, 32)
    assert call.identity is alice
    assert (call.person.weight, call.person.start_step) == (0.8, 0.25)
    values = result.metadata.values
    assert result.metadata.prompt == "a face"
    assert (values["Preset"], values["Seed"], values["Size"]) == ("mine", "7", "32x32")
    assert (values["PuLID identity"], values["PuLID weight"]) == (alice.short_hash, "0.8")
    assert engine.context is CONTEXT
    pipeline.generate("another")
    assert "PuLID identity" not in pipeline.generate("a third").metadata.values
    assert len(engine.calls) == 3
    pipeline.close()
    assert engine.closed == 1


def test_who_is_kept_by_name_is_a_person_and_needs_no_extractor(
    pipeline: PulidFlux,
    engine: FakeEngine,
    make_identity: MakeIdentity,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path))
    alice = keep_person("Alice", make_identity(1)).identity
    assert pipeline.enroll("alice").sha256 == alice.sha256
    pipeline.generate("a face", "alice")
    pipeline.generate("two faces", [Person("alice", region=LEFT), Person(make_identity(2))])
    assert [call.people[0].identity.sha256 for call in engine.calls] == [alice.sha256] * 2
    with pytest.raises(IdentityFileError, match="did you mean Alice"):
        pipeline.generate("a face", "alise")


def test_a_request_is_made_with_its_people_or_not_at_all(
    pipeline: PulidFlux, engine: FakeEngine, make_identity: MakeIdentity
) -> None:
    alice = make_identity(1)
    given = {"prompt": "a face", "width": 32, "height": 32, "people": [{"identity": alice}]}
    request = settle(given, context=pipeline.context)
    assert request.people[0].name == alice.short_hash
    with pytest.raises(ValueError, match="for 1 people, but 0 are given"):
        pipeline.make(request)
    two = settle({**given, "batch_count": 2}, context=pipeline.context)
    with pytest.raises(ValueError, match=r"one picture.*request\.each"):
        pipeline.make(two, [Person(alice)])
    assert engine.calls == []
    for one in two.each:
        pipeline.make(one, [Person(alice)])
    assert [call.identity for call in engine.calls] == [alice, alice]


def test_a_person_and_people_come_to_the_engine_with_their_identities(
    pipeline: PulidFlux, engine: FakeEngine, make_identity: MakeIdentity, identity_file: Path
) -> None:
    alice = Person(identity_file, weight=0.5, end_step=2)
    for identity in (alice, [alice], (alice,)):
        pipeline.generate("p", identity)
    for call in engine.calls:
        assert isinstance(call.identity, Identity)
        assert (call.person.weight, call.person.end_step) == (0.5, 2)
        assert call.person.region is None
    people = [Person(identity_file, region=LEFT), Person(make_identity(2))]
    result = pipeline.generate("p", people)
    call = engine.calls[-1]
    left, right = (person.region for person in call.people)
    assert (left.box, right) == (LEFT.box, None)
    assert result.metadata.values["PuLID identity 2"] == make_identity(2).short_hash
    assert result.metadata.values["PuLID box 1"] == "0.0 0.0 0.5 1.0"
    pipeline.generate("p", [])
    assert not engine.calls[-1].people


def refusals() -> dict[str, tuple[dict[str, Any], type[Exception], str]]:
    alice = Identity.from_array([[1.0, 2.0]])
    return {
        "range": ({"steps": 0}, ValueError, "steps is 0"),
        "name": ({"stepz": 3}, TypeError, "unexpected keyword argument 'stepz'"),
        "batch": ({"batch_count": 2}, ValueError, "generate_each"),
        "weight": ({"identity": alice, "weight": 9}, ValueError, "weight is 9"),
        "weight of people": ({"identity": [Person(alice)], "weight": 0.5}, ValueError, "Person"),
        "no person": ({"identity": [Person(alice), "bob.jpg"]}, ValueError, "bob.jpg"),
        "no file": ({"identity": "no.pulidembd"}, IdentityFileError, "no.pulidembd"),
        "no uncond": ({"identity": alice, "cfg_scale": 2.0}, IdentityFileError, "unconditional"),
        "no step": ({"identity": alice, "start_step": 3}, ValueError, "there are 3 steps: 0 to 2"),
        "no step of hers": (
            {"identity": [Person(alice), Person(alice, start_step=2, end_step=1)]},
            ValueError, "start step 2 and end step 1",
        ),
        "outside": (
            {"identity": [Person(alice, region=Region(box=(900, 0, 16, 16)))]},
            ValueError, "is outside the picture",
        ),
        "no mask": (
            {"identity": [Person(alice, region=Region(mask="no.png"))]},
            ImageFileError, "no.png",
        ),
        "no image": ({"init_image": "no.png"}, ImageFileError, "no.png"),
        "mask alone": ({"mask_image": "no.png"}, ValueError, "without init_image"),
        "no lora": ({"prompt": "p <lora:nobody:1>"}, ModelFileError, "nobody"),
        "preview": (
            {"on_preview": print, "preview_method": "rgb"}, ValueError, "preview_method is 'rgb'",
        ),
        "vae preview": ({"on_preview": print, "preview_method": "vae"}, ValueError, "use 'tae'"),
        "interval": ({"on_preview": print, "preview_interval": 0}, ValueError, "preview_interval"),
    }  # fmt: skip


@pytest.mark.parametrize("case", refusals())
def test_what_cannot_be_done_is_refused_before_loading(
    case: str, pipeline: PulidFlux, engine: FakeEngine
) -> None:
    arguments, error, words = refusals()[case]
    with pytest.raises(error, match=words):
        pipeline.generate(**{"prompt": "p", **arguments})
    assert engine.context is None
    pipeline.generate("p")


def test_an_identity_needs_pulid_weights(
    make: Callable[..., PulidFlux], engine: FakeEngine, make_identity: MakeIdentity
) -> None:
    context = ContextOptions(diffusion_model_path="flux.gguf", clip_l_path="c", vae_path="v")
    pipeline = make(engine, context=context)
    for identity in (make_identity(1), [Person(make_identity(1), region=LEFT)]):
        with pytest.raises(ValueError, match="without PuLID weights"):
            pipeline.generate("p", identity)
    with pytest.raises(ValueError, match="no tiny autoencoder"):
        pipeline.generate("p", on_preview=print, preview_method="tae")
    assert engine.context is None
    pipeline.generate("p", on_preview=lambda image, step: None, preview_method="vae")


def test_settings_and_budget_are_checked_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="steps is 0"):
        PulidFlux(CONTEXT, settings={"steps": 0})
    with pytest.raises(ValueError, match="vram is"):
        PulidFlux(CONTEXT, vram=0.01)


def test_a_picture_to_start_from_gives_the_size(
    pipeline: PulidFlux, engine: FakeEngine, tmp_path: Path
) -> None:
    path = tmp_path / "in.png"
    picture = Image.new("RGB", (70, 45))
    picture.save(path)
    for given in (path, str(path), picture):
        pipeline.generate("p", init_image=given)
        assert (engine.calls[-1].picture.width, engine.calls[-1].picture.height) == (64, 48)
    pipeline.generate("p", init_image=path, width=128)
    assert (engine.calls[-1].picture.width, engine.calls[-1].picture.height) == (128, 48)


def test_what_reads_pictures_may_be_left_out(
    make: Callable[..., PulidFlux], engine: FakeEngine
) -> None:
    context = ContextOptions(
        diffusion_model_path="f", clip_l_path="c", taesd_path="t", vae_decode_only=True
    )
    image = Image.new("RGB", (16, 16))
    for images in ({"init_image": image}, {"ref_images": [image]}, {"control_image": image}):
        with pytest.raises(ValueError, match="vae_decode_only"):
            make(engine, context=context).generate("p", **images)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_is_not_copied(pipeline: PulidFlux, duplicate: Callable[[PulidFlux], object]) -> None:
    """The copy would share the engine, and neither would know of the other."""
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        duplicate(pipeline)


def test_a_random_seed_is_told(pipeline: PulidFlux, engine: FakeEngine) -> None:
    result = pipeline.generate("p", seed=-1)
    assert 0 <= result.seed < 2**32
    assert engine.calls[0].picture.seed == result.seed
    assert result.metadata.values["Seed"] == str(result.seed)


def test_events_go_to_the_call_or_to_the_pipeline(
    make: Callable[..., PulidFlux], engine: FakeEngine
) -> None:
    mine: list[ProgressEvent] = []
    own: list[ProgressEvent] = []
    pipeline = make(engine, on_event=mine.append)
    pipeline.generate("p")
    assert [(event.stage, event.step) for event in mine] == [("load", 0)] + [
        ("denoise", step) for step in range(4)
    ]
    mine.clear()
    pipeline.generate("p", on_event=own.append)
    assert (len(mine), len(own)) == (0, 4)


def test_previews_come_at_their_interval(pipeline: PulidFlux, engine: FakeEngine) -> None:
    shown: list[tuple[Any, int]] = []
    for interval, expected in ((1, [1, 2, 3, 4, 5]), (2, [2, 4]), (9, [])):
        shown.clear()
        pipeline.generate(
            "p",
            steps=5,
            on_preview=lambda image, step: shown.append((image, step)),
            preview_interval=interval,
        )
        assert [step for _, step in shown] == expected
        assert all(image.mode == "RGB" for image, _ in shown)


@pytest.mark.parametrize("where", ["load", "denoise", "preview"])
def test_what_a_callback_raises_ends_that_generation_only(
    where: str, pipeline: PulidFlux, engine: FakeEngine
) -> None:
    def fail(event: Any, step: int = 0) -> None:
        if step or event.stage == where:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        pipeline.generate("p", **{"on_preview" if where == "preview" else "on_event": fail})
    assert pipeline.generate("p").seed == 42


def test_no_call_from_a_callback(pipeline: PulidFlux, make: Callable[..., PulidFlux]) -> None:
    other = make(FakeEngine())
    calls: list[Callable[[], object]] = [
        lambda: pipeline.generate("q"),
        lambda: other.generate("q"),
        pipeline.close,
        pipeline.load,
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="from a pipeline's callback"):
            pipeline.generate("p", on_event=lambda event, call=call: call())
    pipeline.generate("p", on_event=lambda event: pipeline.cancel() if event.step == 3 else None)
    other.generate("p")


def test_cancel_stops_the_running_one_only(make: Callable[..., PulidFlux]) -> None:
    engine = SteppingEngine()
    pipeline = make(engine)
    first, first_outcome = start(lambda: pipeline.generate("p", seed=1))
    engine.reached.wait()
    second, second_outcome = start(lambda: pipeline.generate("p", seed=2))
    while not pipeline._turns._lock._waiting:
        time.sleep(0.001)
    pipeline.cancel()
    engine.go.set()
    first.join()
    second.join()
    assert isinstance(first_outcome[0], GenerationCancelled)
    assert second_outcome[0].seed == 2
    assert (engine.cancels, engine.closed) == (1, 0)
    pipeline.cancel()  # nothing runs
    assert engine.cancels == 1
    assert pipeline.generate("p", seed=3).seed == 3


def test_cancel_while_loading(pipeline: PulidFlux, engine: FakeEngine) -> None:
    def cancel(event: ProgressEvent) -> None:
        if event.stage == "load":
            pipeline.cancel()

    with pytest.raises(GenerationCancelled):
        pipeline.generate("p", on_event=cancel)
    assert not engine.calls
    assert pipeline.generate("p").seed == 42


def test_close_waits_and_what_comes_after_is_refused(make: Callable[..., PulidFlux]) -> None:
    engine = SteppingEngine()
    pipeline = make(engine, extractor={"eva": "e.pt"})
    running, outcome = start(lambda: pipeline.generate("p", seed=5))
    engine.reached.wait()
    closing, _ = start(pipeline.close)
    while not pipeline._turns._lock._waiting:
        time.sleep(0.001)
    late, late_outcome = start(lambda: pipeline.generate("p"))
    assert engine.closed == 0
    engine.go.set()
    for thread in (running, closing, late):
        thread.join()
    assert outcome[0].seed == 5
    assert engine.closed == 1
    assert "closed" in str(late_outcome[0])
    pipeline.close()
    assert engine.closed == 1
    for call in (pipeline.load, lambda: pipeline.generate("p"), lambda: pipeline.enroll("a.jpg")):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_an_engine_that_failed_is_loaded_again(pipeline: PulidFlux, engine: FakeEngine) -> None:
    engine.failure = GenerationError("broken")
    with pytest.raises(GenerationError, match="broken"):
        pipeline.generate("p")
    assert engine.closed == 1
    engine.failure = GenerationCancelled("cancelled")
    with pytest.raises(GenerationCancelled):
        pipeline.generate("p")
    engine.failure = None
    pipeline.generate("p")
    assert engine.closed == 1


def test_a_generator_of_pictures_is_lazy_and_can_be_left(
    pipeline: PulidFlux, engine: FakeEngine, make_identity: MakeIdentity
) -> None:
    asked: list[int] = []

    def requests() -> Iterator[dict[str, Any]]:
        for seed in range(100):
            asked.append(seed)
            yield {"seed": seed} if seed else {"seed": seed, "prompt": "first"}

    results = pipeline.generate_each(requests(), prompt="p", identity=make_identity(1))
    assert not asked
    assert [next(results).seed for _ in range(3)] == [0, 1, 2]
    results.close()
    assert asked == [0, 1, 2]
    assert [call.picture.prompt for call in engine.calls] == ["first", "p", "p"]
    assert engine.closed == 0
    with pytest.raises(ValueError, match="seed is"):
        list(pipeline.generate_each([{"seed": 2**70}], prompt="p"))
    pipeline.generate("p")


def test_identities_are_remembered_unless_told_not_to(
    make: Callable[..., PulidFlux], engine: FakeEngine
) -> None:
    from pulid_sdcpp.identity.store import find_identity

    for seed, remember in ((901, False), (902, True)):
        identity = Identity.from_array([[float(seed), 1.0]])
        pipeline = make(engine, remember_identities=remember)
        for _ in range(2):
            pipeline.generate("p", [Person(identity, region=LEFT), Person(identity)])
        assert (find_identity(identity.short_hash) is not None) is remember
    assert cache_folder().is_dir()


def test_eight_threads_are_served_in_turn(pipeline: PulidFlux, engine: FakeEngine) -> None:
    seeds: list[list[int]] = [[] for _ in range(8)]

    def work(number: int) -> None:
        for index in range(10):
            result = pipeline.generate("p", seed=100 * number + index)
            seeds[number].append(int(result.metadata.values["Seed"]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seeds == [[100 * number + index for index in range(10)] for number in range(8)]
    assert len(engine.calls) == 80
