"""Plans over HTTP, and of computers that are not this one."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pulid_sdcpp.native.devices import Device
from pulid_sdcpp.server.engine.engine_messages import ModelChoice
from pulid_sdcpp.server.library import plan_process
from pulid_sdcpp.server.library.plan_process import FitsRequest, PlanRequest, fits_view, plan_view
from pulid_sdcpp.server.service.service import PictureService
from pulid_sdcpp.system.system_memory import ComputerMemory
from served import run_served

GIB = 1 << 30
PLAN = "/pulid/v1/plan"
GIVEN = {"prompt": "x", "seed": 1, "width": 1024, "height": 1024}


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    """A computer with a card of 8 GiB, of which 2 are free, and 64 GiB of RAM."""
    there = [Device("CUDA0", "a card", "gpu", 2 * GIB, 8 * GIB), Device("CPU", "", "cpu", 0, 0)]
    monkeypatch.setattr(plan_process, "devices", lambda: there)
    monkeypatch.setattr("pulid_sdcpp.memory.plan.devices", lambda: there)
    ram = ComputerMemory(64 * GIB, 64 * GIB)
    monkeypatch.setattr(plan_process, "computer_memory", lambda: ram)
    return there


def of(preset: str, vram: Any = None) -> ModelChoice:
    return ModelChoice(preset, {}, (), vram)


def test_a_card_that_is_taken_is_planned_as_if_its_model_were_freed(card: list[Device]) -> None:
    now = plan_view(PlanRequest(of("flux-schnell-q4"), GIVEN))
    freed = plan_view(PlanRequest(of("flux-schnell-q4"), GIVEN, is_loaded=True))
    assert now["budget_bytes"] == 2 * GIB
    assert freed["budget_bytes"] == int(8 * GIB * 0.95)
    assert now["flags"] != freed["flags"]
    for found in (now, freed):
        assert found["fits"], found["message"]
        assert found["device"] == "CUDA0"
        assert 0 < found["device_peak_bytes"] <= found["budget_bytes"]
        json.dumps(found)
    assert {one["file"] for one in now["absent_files"]} >= {"ae.safetensors"}


def test_what_does_not_fit_is_an_answer_that_says_what_would(card: list[Device]) -> None:
    found = plan_view(PlanRequest(of("flux-dev-q8", 0.5), {**GIVEN, "width": 4096, "height": 4096}))
    assert found["fits"] is False
    assert found["message"]
    assert (found["device"], found["flags"], found["placements"]) == (None, [], {})


def test_a_computer_with_too_little_ram(
    card: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    ram = ComputerMemory(4 * GIB, 4 * GIB)
    monkeypatch.setattr(plan_process, "computer_memory", lambda: ram)
    found = plan_view(PlanRequest(of("flux-dev-q8"), GIVEN))
    assert found["fits"] is False
    assert "this computer has 4.00 GiB" in found["message"]


def test_people_take_memory(card: list[Device]) -> None:
    one, eight = (plan_view(PlanRequest(of("flux-dev-q4", 8), GIVEN, people=n)) for n in (1, 8))
    assert eight["device_peak_bytes"] > one["device_peak_bytes"] or eight["flags"] != one["flags"]


def test_people_of_several_photos_take_more_where_photos_are_laid_side_by_side(
    card: list[Device],
) -> None:
    one, four = (
        plan_view(PlanRequest(of("sdxl-lightning-q4", 8), GIVEN, people=8, id_tokens=n))
        for n in (0, 40)
    )
    assert four["device_peak_bytes"] > one["device_peak_bytes"]


@pytest.mark.engine
def test_a_plan_over_http(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    picture = base64.b64encode(png.getvalue()).decode()

    async def test(client: Any, service: PictureService) -> None:
        body = {"init_image": picture, "people": [{"photo": picture}] * 2}
        found = (await client.post(PLAN, json=body)).json()
        assert found["fits"] is True
        assert found["absent_files"] == []
        assert found["host_peak_bytes"] > 0
        assert set(found) >= {
            *("message", "device", "budget_bytes", "device_peak_bytes", "placements", "flags"),
            *("notes", "eta_s", "warnings"),
        }
        other = (await client.post(PLAN, json={"model": "flux-dev-q4"})).json()
        assert len(other["absent_files"]) >= 4
        for body, code in [
            ({"model": "no"}, "model_not_found"),
            ({"widht": 3}, "unknown_field"),
            ({"width": 1 << 20}, "invalid_value"),
            ({"people": [{"weight": 1}]}, "identity_without_person"),
        ]:
            answer = await client.post(PLAN, json=body)
            assert answer.json()["error"]["code"] == code
        assert service.book.newest() == []

    run_served(tmp_path, test)


def test_which_presets_fit_is_said_as_if_the_loaded_one_were_freed(
    card: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [Device("CUDA0", "a card", "gpu", 2 * GIB, 24 * GIB), card[1]]
    monkeypatch.setattr(plan_process, "devices", lambda: large)
    now, freed = fits_view(FitsRequest()), fits_view(FitsRequest(is_loaded=True))
    assert now["presets"]["flux-schnell-q4"]["verdict"] == "in segments"
    assert freed["presets"]["flux-schnell-q4"]["verdict"] == "fits"
    assert freed["recommended"].startswith("flux-schnell")
    json.dumps(freed)


def test_the_planners_process_answers_both_questions(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        found = await service.planner.ask(FitsRequest())
        assert found["presets"]["pocket"]["verdict"] == "fits"

    run_served(tmp_path, test)
