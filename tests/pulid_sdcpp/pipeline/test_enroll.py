"""The pipeline's people and presets, around an engine and an extractor that compute nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_engine import FakeEngine
from fake_pipeline import pipelines
from pulid_sdcpp import Identity, ModelFileError, ProgressEvent, PulidFlux, PulidPipeline
from pulid_sdcpp.pipeline import pulid_pipeline as module


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def make() -> Iterator[Callable[..., PulidFlux]]:
    with pipelines() as make:
        yield make


class FakeEnroller:
    """In the place of `Enroller`: knows no cache."""

    def __init__(self, files: Any, **options: Any) -> None:
        self.files, self.options = files, options
        self.events: list[str] = []

    def enroll(self, photos: Any, *, on_extract: Any, on_face: Any, **options: Any) -> Identity:
        on_extract()
        self.events.append("extract")
        if on_face is not None:
            on_face("a face")
        self.asked = (photos, options)
        return Identity.from_array([[1.0, 2.0]])

    def close(self) -> None:
        self.events.append("close")


def test_photos_and_identity_files_are_enrolled(
    make: Callable[..., PulidFlux],
    engine: FakeEngine,
    identity_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "Enroller", FakeEnroller)
    pipeline = make(engine, extractor={"eva": "e.pt"})
    enroller: Any = pipeline._enroller
    assert enroller.files == {"eva": "e.pt"}
    events: list[Any] = []
    faces: list[Any] = []
    identity = pipeline.enroll(
        ["a.jpg", "b.jpg"], face="left", fusion="mean", on_event=events.append, on_face=faces.append
    )
    assert identity.dim == 2
    assert enroller.asked == (["a.jpg", "b.jpg"], {"face": "left", "fusion": "mean"})
    assert (events, faces) == ([ProgressEvent("extract")], ["a face"])
    for given in (identity_file, str(identity_file), [identity_file]):
        assert pipeline.enroll(given).sha256 == Identity.load(identity_file).sha256
    assert enroller.events == ["extract"]
    with pytest.raises(ValueError, match="cannot be fused"):
        pipeline.enroll([identity_file, "b.jpg"])
    with pytest.raises(RuntimeError, match="callback"):
        pipeline.enroll("a.jpg", on_event=lambda event: pipeline.load())
    pipeline.generate("p")
    assert engine.closed == 0


def test_with_a_budget_the_extractor_and_the_model_take_turns(
    make: Callable[..., PulidFlux], engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulid_sdcpp.memory.plan import Plan
    from pulid_sdcpp.pipeline import loaded_model

    monkeypatch.setattr(module, "Enroller", FakeEnroller)
    monkeypatch.setattr(loaded_model, "devices", lambda: [])
    plan = Plan("GPU0", 1, 32, 16, {}, {"keep_clip_on_cpu": True}, {"vae_tiling": True})
    monkeypatch.setattr(loaded_model, "plan_memory", lambda *args, **options: plan)
    pipeline = make(engine, vram=1.0, extractor={"eva": "e.pt"})
    enroller: Any = pipeline._enroller
    assert pipeline.plan is None
    result = pipeline.generate("p")
    assert pipeline.plan is plan
    assert enroller.events == ["close"]
    assert (result.metadata.values["VAE tiling"], engine.closed) == ("True", 0)
    assert result.metadata.values["CLIP on CPU"] == "True"
    pipeline.enroll("a.jpg")
    assert (enroller.events, engine.closed) == (["close", "extract"], 1)
    pipeline.generate("p")
    pipeline.load()
    assert (enroller.events, engine.closed) == (["close", "extract", "close", "close"], 1)


def test_photos_without_the_extractors_files(
    make: Callable[..., PulidFlux], engine: FakeEngine, identity_file: Path
) -> None:
    told = make(engine, extractor_problem="get eva.pt with 'models pull'", extractor={"pulid": "x"})
    with pytest.raises(ModelFileError, match=r"get eva\.pt"):
        told.enroll("a.jpg")
    with pytest.raises(ModelFileError, match="made without"):
        make(engine).enroll("a.jpg")
    assert told.enroll(identity_file).n_tokens == 32


def test_a_preset_gives_files_and_settings_and_options_override_them(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulid_sdcpp.store import model_store
    from pulid_sdcpp.store.model_store import PresetFiles

    files = PresetFiles(
        "small",
        {"steps": 2, "width": 64, "height": 64},
        {
            "diffusion_model_path": Path("flux.gguf"),
            "taesd_path": Path("tae"),
            "clip_l_path": Path("c"),
        },
        {"eva": Path("e.pt")},
        "the detector is missing",
    )
    asked: list[Any] = []

    def resolve(name: str, folders: Any, *, without: Any, **_: Any) -> PresetFiles:
        asked.append((name, folders))
        context = {field: path for field, path in files.context.items() if field not in without}
        return replace(files, context=context)

    monkeypatch.setattr(model_store, "resolve_preset", resolve)
    with PulidPipeline.from_preset(
        "Small",
        models_dirs=["models"],
        settings={"steps": 3},
        create_engine=engine.create,
        vae_path="ae.safetensors",
        wtype="q8_0",
    ) as pipeline:
        assert asked == [("Small", ["models"])]
        assert (pipeline.preset, pipeline.settings["steps"]) == ("small", 3)
        assert pipeline.context.taesd_path is None  # else it would decode
        assert pipeline.context.wtype == "q8_0"
        with pytest.raises(ModelFileError, match="detector is missing"):
            pipeline.enroll("a.jpg")
        assert pipeline.generate("p").image.size == (64, 64)
    assert engine.closed == 1


@pytest.mark.parametrize("keep", [True, False])
def test_what_is_extracted_is_kept_unless_told(
    make: Callable[..., PulidFlux],
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    keep: bool,
) -> None:
    monkeypatch.setattr(module, "Enroller", FakeEnroller)
    enroller: Any = make(engine, extractor={"eva": "e.pt"}, keep_extracted=keep)._enroller
    assert enroller.options["cache"] is keep
