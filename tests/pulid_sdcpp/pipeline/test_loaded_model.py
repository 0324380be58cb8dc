from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fake_engine import FakeEngine
from pulid_sdcpp.errors import DeviceError, MemoryPlanError, ModelFileError
from pulid_sdcpp.memory.plan import Plan
from pulid_sdcpp.native.devices import Device
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.pipeline import loaded_model as module
from pulid_sdcpp.pipeline.loaded_model import LoadedModel, serves
from pulid_sdcpp.system.system_memory import ComputerMemory

CONTEXT = ContextOptions(diffusion_model_path="flux.gguf", clip_l_path="c", taesd_path="t")
SMALL, LARGE = GenerationOptions("p"), GenerationOptions("p", width=2048, height=2048)
GPU = Device("GPU0", "", "gpu", 2**30, 2**30)


def quiet(event: object) -> None:
    pass


@pytest.mark.parametrize(
    ("loaded", "needed", "expected"),
    [
        ({}, {}, True),
        ({"keep_clip_on_cpu": True}, {}, True),
        ({}, {"keep_clip_on_cpu": True}, False),
        ({"keep_clip_on_cpu": True}, {"offload_params_to_cpu": True}, False),
        ({"max_vram": 2.0}, {"max_vram": 2.0}, True),
        ({"max_vram": 2.0}, {"max_vram": 3.0}, True),
        ({"max_vram": 3.0}, {"max_vram": 2.0}, False),
        ({"max_vram": 3.0}, {}, True),
        ({}, {"max_vram": 3.0}, False),
    ],
)
def test_an_engine_serves_what_needs_no_more_measures(
    loaded: dict[str, Any], needed: dict[str, Any], expected: bool
) -> None:
    assert serves(loaded, needed) is expected


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A large picture is to be offloaded and tiled, a small one not; collects the calls."""
    calls: list[Any] = []

    def plan(context: ContextOptions, generation: GenerationOptions, **options: Any) -> Plan:
        calls.append(options)
        is_large = generation.width > 1024
        return Plan(
            "GPU0", 2**30, generation.width, generation.height, {},
            {"offload_params_to_cpu": True} if is_large else {},
            {"vae_tiling": True} if is_large else {},
        )  # fmt: skip

    monkeypatch.setattr(module, "plan_memory", plan)
    monkeypatch.setattr(module, "devices", lambda: [GPU])
    return calls


def test_it_is_loaded_again_only_for_what_needs_more_measures(planned: list[Any]) -> None:
    engines = [FakeEngine(), FakeEngine()]
    left = iter(engines)
    model = LoadedModel(CONTEXT, 1.0, lambda *args, **options: next(left).create(*args, **options))
    assert model.prepare(SMALL, quiet) == (engines[0], SMALL)
    assert (model.context, engines[0].closed) == (CONTEXT, 0)
    engine, large = model.prepare(LARGE, quiet)
    assert (engine, large.vae_tiling) == (engines[1], True)
    assert engines[0].closed == 1
    assert model.context.offload_params_to_cpu
    assert model.prepare(SMALL, quiet) == (engines[1], SMALL)  # fits what is loaded, untiled
    assert model.context.offload_params_to_cpu
    assert model.plan is not None
    assert model.plan.width == SMALL.width


def test_what_is_free_is_asked_once(planned: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine itself takes of it later."""
    ram = ComputerMemory(8, 4)
    monkeypatch.setattr(module, "computer_memory", lambda: ram)
    model = LoadedModel(CONTEXT, "auto", FakeEngine().create)
    model.prepare(SMALL, quiet)
    monkeypatch.setattr(module, "devices", lambda: [])
    monkeypatch.setattr(module, "computer_memory", lambda: None)
    model.prepare(SMALL, quiet)
    given = {
        "vram": "auto",
        "people": 1,
        "id_tokens": 0,
        "this_computer": True,
        "available": [GPU],
        "ram": ram,
    }
    assert planned == [given] * 2


def test_room_for_people_stays_until_it_is_loaded_again(planned: list[Any]) -> None:
    model = LoadedModel(CONTEXT, 1.0, FakeEngine().create)
    for people in (2, 3, 1):
        model.prepare(SMALL, quiet, people)
    model.unload()
    for people in (2, 1):
        model.prepare(SMALL, quiet, people)
    assert [call["people"] for call in planned] == [2, 3, 3, 2, 2]


def test_room_for_tokens_stays_until_it_is_loaded_again(planned: list[Any]) -> None:
    model = LoadedModel(CONTEXT, 1.0, FakeEngine().create)
    for tokens in (10, 40, 25):
        model.prepare(SMALL, quiet, 1, tokens)
    model.unload()
    model.prepare(SMALL, quiet, 1, 25)
    assert [call["id_tokens"] for call in planned] == [10, 40, 40, 25]


def test_what_does_not_fit_leaves_the_loaded_engine(
    planned: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    model = LoadedModel(CONTEXT, 1.0, engine.create)
    model.prepare(SMALL, quiet)

    def refuse(*args: Any, **options: Any) -> Plan:
        raise MemoryPlanError("too large")

    monkeypatch.setattr(module, "plan_memory", refuse)
    with pytest.raises(MemoryPlanError):
        model.prepare(LARGE, quiet)
    assert engine.closed == 0


def test_a_failed_load_leaves_nothing_and_can_be_tried_again() -> None:
    engine, failures = FakeEngine(), [ModelFileError("damaged")]

    def create(context: ContextOptions, on_event: Any) -> FakeEngine:
        if failures:
            raise failures.pop()
        return engine.create(context)

    model = LoadedModel(CONTEXT, None, create)
    with pytest.raises(ModelFileError):
        model.prepare(SMALL, quiet)
    model.cancel()
    assert model.prepare(SMALL, quiet) == (engine, SMALL)
    assert model.plan is None
    model.unload()
    model.unload()
    assert engine.closed == 1


@pytest.mark.parametrize("vram", [0.1, 1e6, "all", None])
def test_a_budget_out_of_range_is_refused(vram: Any) -> None:
    if vram is None:
        assert not LoadedModel(CONTEXT, vram).is_planned
    else:
        with pytest.raises(ValueError, match="vram is"):
            LoadedModel(CONTEXT, vram)


@pytest.mark.engine
def test_the_real_plan_refuses_before_anything_is_loaded(
    standin_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ContextOptions(
        diffusion_model_path=standin_weights["flux-f16"],
        taesd_path=standin_weights["taesd"],
        clip_l_path=standin_weights["clip_l"],
    )
    engine = FakeEngine()
    monkeypatch.setattr(module, "devices", lambda: [GPU])
    model = LoadedModel(context, 0.5, engine.create)
    with pytest.raises(MemoryPlanError, match="does not fit"):
        model.prepare(GenerationOptions("p", width=4096, height=4096), quiet)
    assert engine.context is None
    model.prepare(GenerationOptions("p", width=64, height=64), quiet)
    assert model.plan is not None
    assert model.plan.device_peak_bytes < 2**29
    monkeypatch.setattr(module, "devices", lambda: [Device("GPU0", "", "gpu", 0, 0)])
    with pytest.raises(DeviceError, match="how much memory is free"):
        LoadedModel(context, "auto", engine.create).prepare(SMALL, quiet)
