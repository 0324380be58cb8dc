"""What was said is asked of click in one place; what was not said is no part of it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pulid_sdcpp.cli.flags.generate import generate_options
from pulid_sdcpp.cli.given.given_values import asked, given_values, preset_name
from pulid_sdcpp.cli.given.output_request import OutputRequest
from pulid_sdcpp.identity.named_person import named_person
from pulid_sdcpp.people.region import Region

PACKAGE = Path(__file__).parents[3] / "pulid_sdcpp"


def said(*arguments: str) -> tuple[Mapping[str, Any], OutputRequest]:
    found: list[Any] = []

    @click.command()
    @generate_options
    @click.pass_context
    def command(ctx: click.Context, **values: Any) -> None:
        given = given_values(ctx)
        found.extend((given, OutputRequest.of(values, given)))

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return found[0], found[1]


def test_only_what_was_said_is_given_even_if_it_is_the_default() -> None:
    given, _ = said("--steps", "20", "-W", "64", "--preset", "pocket")
    assert given == {"steps": 20, "width": 64, "preset": "pocket"}
    with pytest.raises(TypeError):
        given["steps"] = 3  # type: ignore[index]


def test_flags_of_the_output_are_no_part_of_the_request() -> None:
    given, output = said("-p", "a", "-o", "{seed}.png", "--overwrite", "--output-begin-idx", "3")
    assert asked(given) == {"prompt": "a", "people": []}
    assert (output.template, output.overwrite, output.first_index) == (Path("{seed}.png"), True, 3)
    assert (output.with_text, output.preview) == (True, None)


def test_circular_stands_for_both_axes() -> None:
    assert said("--circular")[0] == {"circular_x": True, "circular_y": True}
    assert said("--circularx")[0] == {"circular_x": True}


@pytest.mark.parametrize(
    ("arguments", "people"),
    [
        (
            ("--portrait", "a.jpg", "--portrait", "b.jpg"),
            [{"files": ("a.jpg", "b.jpg")}],
        ),
        (("--pulid-id-embedding", "a.bin"), [{"identity": Path("a.bin")}]),
        (
            ("--person", "a.jpg:weight=0.5:end=80%", "--person", "b.jpg"),
            [
                {"files": ("a.jpg",), "weight": 0.5, "end_step": 0.8},
                {"files": ("b.jpg",)},
            ],
        ),
    ],
)
def test_people_are_plain_mappings_with_what_was_said(
    arguments: tuple[str, ...], people: list[dict[str, Any]]
) -> None:
    given, _ = said(*arguments)
    assert asked(given)["people"] == people


def test_a_person_s_mask_and_photos_may_be_in_the_users_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/a")
    monkeypatch.setenv("USERPROFILE", "/home/a")
    given, _ = said("--person", "~/a.jpg:mask=~/left.png")
    (person,) = asked(given)["people"]
    assert isinstance(person["region"], Region)
    assert Path(person["region"].mask) == Path.home() / "left.png"  # type: ignore[arg-type]
    assert [named_person(text).files for text in person["files"]] == [(Path.home() / "a.jpg",)]


def test_a_preset_that_is_given_goes_before_the_pictures() -> None:
    class Recipe:
        preset = "then"

    recipe: Any = Recipe()
    assert preset_name({}) == ""
    assert preset_name({}, recipe) == "then"
    assert preset_name({"preset": "now"}, recipe) == "now"


def test_click_is_asked_for_its_sources_in_one_place() -> None:
    askers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "get_parameter_source"
    }
    assert askers == {"cli/given/given_values.py"}
