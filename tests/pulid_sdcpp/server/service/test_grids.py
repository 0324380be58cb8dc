"""Grids: which pictures they have, what is refused, and what they show."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pulid_sdcpp.options.generation import MAX_SEED
from pulid_sdcpp.pictures.png_text import save_picture
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.limits import Limits
from pulid_sdcpp.server.request.body_fields import body_fields
from pulid_sdcpp.server.request.normal_request import normalised_fields
from pulid_sdcpp.server.request.request_files import RequestFiles
from pulid_sdcpp.server.service.grid_results import (
    GridEntry,
    grid_csv,
    grid_sheet,
    grid_summary,
    grid_table,
)
from pulid_sdcpp.server.service.grids import (
    DEFAULT_PROMPTS,
    MAX_GRID_PICTURES,
    GridPlace,
    grid_wish,
    request_at,
)

ALICE = {"person": "alice"}


def wish(body: dict[str, Any]) -> Any:
    return grid_wish(body, draw_seed=lambda: 77)


def test_a_picture_for_each_prompt_weight_and_seed_in_this_order() -> None:
    grid = wish({**ALICE, "prompts": ["a", "b"], "seeds": [1, 2], "weights": [0.5, 1]})
    assert [(one.prompt, one.weight, one.seed) for one in grid.places] == [
        ("a", 0.5, 1), ("a", 0.5, 2), ("a", 1.0, 1), ("a", 1.0, 2),
        ("b", 0.5, 1), ("b", 0.5, 2), ("b", 1.0, 1), ("b", 1.0, 2),
    ]  # fmt: skip
    assert [one.number for one in grid.places] == list(range(8))


@pytest.mark.parametrize(
    ("body", "prompts", "seeds", "weights"),
    [
        ({}, DEFAULT_PROMPTS, (77,), (None,)),
        ({"prompts": "default", "seeds": []}, DEFAULT_PROMPTS, (77,), (None,)),
        ({"prompts": ["a"], "seeds": ["5"]}, ("a",), (5,), (None,)),
        ({"request": {"prompt": "a", "seed": 3}}, ("a",), (3,), (None,)),
        ({"prompts": ["b"], "request": {"prompt": "a", "seed": -1}}, ("b",), (77,), (None,)),
        ({"prompts": ["a"], "weights": [0, "0.5"]}, ("a",), (77,), (0.0, 0.5)),
        ({"prompts": ["a"], "seeds": [MAX_SEED]}, ("a",), (MAX_SEED,), (None,)),
    ],
)
def test_what_is_not_said(body: Any, prompts: Any, seeds: Any, weights: Any) -> None:
    grid = wish({**ALICE, **body})
    assert (grid.prompts, grid.seeds, grid.weights) == (prompts, seeds, weights)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"person": None}, "invalid_value", "person"),
        ({"people": [{"identity": "bob"}]}, "identity_conflict", "people"),
        ({"prompt": "a"}, "unknown_field", "prompt"),
        ({"prompts": "a"}, "invalid_value", "prompts"),
        ({"prompts": ["a", "  "]}, "invalid_value", "prompts[1]"),
        ({"prompts": ["a", 5]}, "invalid_value", "prompts[1]"),
        ({"prompts": ["a", "a"]}, "invalid_value", "prompts[1]"),
        ({"prompts": ["(a:9000)"]}, "invalid_value", "prompts[0]"),
        ({"prompts": [str(n) for n in range(17)]}, "invalid_value", "prompts"),
        ({"seeds": list(range(9))}, "invalid_value", "seeds"),
        ({"seeds": [1, MAX_SEED + 1]}, "invalid_value", "seeds[1]"),
        ({"seeds": [-1, -1]}, "invalid_value", "seeds[1]"),
        ({"seeds": 5}, "invalid_value", "seeds"),
        ({"weights": [1, 6]}, "invalid_value", "weights[1]"),
        ({"weights": [1, 2, 3, 4, 5, 0]}, "invalid_value", "weights"),
        ({"weights": [1, 1.0]}, "invalid_value", "weights[1]"),
        ({"request": []}, "invalid_value", "request"),
        ({"request": {"people": ["bob"]}}, "identity_conflict", "request.people"),
        ({"seeds": list(range(8)), "weights": [1, 2]}, "invalid_value", "prompts"),
    ],
)
def test_what_is_refused(body: Any, code: str, param: str) -> None:
    with pytest.raises(ApiError) as error:
        wish({**ALICE, **body})
    assert (error.value.code, error.value.param) == (code, param)


def test_people_of_the_shared_request_count() -> None:
    assert grid_wish({"request": {"people": ["bob"]}}).people == ({"identity": "bob"},)
    assert "people" not in grid_wish({"request": {"people": ["bob"]}}).request


def test_the_most_pictures() -> None:
    prompts = [str(n) for n in range(10)]
    grid = wish({**ALICE, "prompts": prompts, "seeds": [1, 2], "weights": [1, 2, 3, 4, 5]})
    assert len(grid.places) == MAX_GRID_PICTURES
    with pytest.raises(ApiError, match="at most 100"):
        wish({**ALICE, "prompts": [*prompts, "x"], "seeds": [1, 2], "weights": [1, 2, 3, 4, 5]})


def test_the_request_of_each_picture() -> None:
    people = [{"identity": "alice", "weight": 0.9, "region": {"box": [0, 0, 0.5, 1]}}, "bob"]
    shared = {"width": 512, "prompt": "unused", "seed": 4, "sample_params": {"sample_steps": 3}}
    grid = wish({"people": people, "prompts": ["a", "b"], "weights": [0.5], "request": shared})
    files = RequestFiles(Limits())
    base = normalised_fields(
        body_fields(grid.base_body(), own=True),
        models={"pocket": {}},
        default_model="pocket",
        readers=files.readers,
        limits=Limits(),
    )
    request = request_at(base, grid.places[1])
    assert dict(request.options) == {"width": 512, "prompt": "b", "seed": 4, "steps": 3}
    assert [one.identity for one in request.people] == ["alice", "bob"]
    assert [dict(one.options) for one in request.people] == [{"weight": 0.5}, {"weight": 0.5}]
    assert request.people[0].box == (0, 0, 0.5, 1)
    as_said = request_at(base, GridPlace(0, "a", 4, None))
    assert [dict(one.options) for one in as_said.people] == [{"weight": 0.9}, {}]


def entries() -> list[GridEntry]:
    grid = wish({**ALICE, "prompts": ["a", "=b"], "weights": [0.5, 1], "seeds": [1]})
    similarities = (0.4, 0.8, 0.0, None)
    return [
        GridEntry(place, f"job-{place.number}" if similarity is not None else "", similarity, 0.1)
        for place, similarity in zip(grid.places, similarities, strict=True)
    ]


def test_table_and_summary() -> None:
    table = grid_table(entries())
    assert table[1] == {
        "prompt": "a", "seed": 1, "weight": 1.0, "picture_id": "job-1", "similarity": 0.8,
        "best_other": 0.1,
    }  # fmt: skip
    assert table[3]["picture_id"] is None
    summary = grid_summary(entries())
    assert summary["weakest"] == "job-2"
    assert summary["mean"] == pytest.approx(0.4)
    assert summary["by_prompt"] == [
        {"prompt": "a", "similarity": pytest.approx(0.6)}, {"prompt": "=b", "similarity": 0.0},
    ]  # fmt: skip
    assert summary["by_weight"] == [
        {"weight": 0.5, "similarity": pytest.approx(0.2)}, {"weight": 1.0, "similarity": 0.8},
    ]  # fmt: skip
    assert grid_summary(entries()[:1])["weakest"] is None
    assert grid_summary([GridEntry(GridPlace(0, "a", 1, None))])["mean"] is None


def test_csv() -> None:
    rows = list(csv.reader(io.StringIO(grid_csv(entries()))))
    assert rows[0] == ["prompt", "seed", "weight", "picture_id", "similarity", "best_other"]
    assert rows[1] == ["a", "1", "0.5", "job-0", "0.4000", "0.1000"]
    assert rows[4] == ["'=b", "1", "1.0", "", "", "0.1000"]


def test_the_sheet_has_a_column_for_each_prompt(tmp_path: Path) -> None:
    for number, colour in enumerate(("red", "lime", "blue")):
        save_picture(Image.new("RGB", (160, 120), colour), tmp_path / f"job-{number}.png")
    sheet = grid_sheet(entries(), lambda name: tmp_path / f"{name}.png")
    assert sheet is not None
    where = {
        colour: {(x // (sheet.width // 2), y // (sheet.height // 2))
                 for x in range(0, sheet.width, 8) for y in range(0, sheet.height, 8)
                 if sheet.getpixel((x, y)) == colour}
        for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    }  # fmt: skip
    assert where == {(255, 0, 0): {(0, 0)}, (0, 255, 0): {(0, 1)}, (0, 0, 255): {(1, 0)}}
    assert grid_sheet(entries(), lambda name: None) is None
