"""One line in an options dataclass is all that a new option takes: all the rest is made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, FrozenInstanceError, dataclass, field
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
import pytest

from pulid_sdcpp.batch import fields as batch_fields
from pulid_sdcpp.cli.flags import fact_option
from pulid_sdcpp.options import binding
from pulid_sdcpp.options.checks import FilePath
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.facts import FACT, Fact, Kind, check, of, option, same_as
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.options.step_point import StepPoint
from pulid_sdcpp.people.identity_options import IdentityOptions
from pulid_sdcpp.people.person import Person
from pulid_sdcpp.people.region import Region
from pulid_sdcpp.pictures import text_entries
from pulid_sdcpp.store import registry


@dataclass(frozen=True)
class Options:
    name: str = field(metadata={FACT: Fact("Required.", flags="--name", max_chars=3)})
    not_told: Any = None
    count: int = option(4, "How many.", flags="-c --count", low=2, high=8, step=2, text="Count")
    part: float = option(0.5, "Which part.", flags="--part", low=0, high=1, text="Part")
    maybe: float | None = option(None, "Or none.", flags="--maybe", text="Maybe")
    way: str = option(
        "slow",
        "Which way.",
        flags="--way",
        choices=("slow", "fast"),
        text="Way",
        text_names={"fast": "Quick"},
        binding="speed",
        binding_names={"fast": "RAPID"},
    )
    is_on: bool = option(False, "Switches it on.", flags="--on", text="Is on")
    is_off: bool = option(True, "Switches it off.", flags="--off/--no-off", text="Is off")
    file: FilePath | None = option(None, "A file.", flags="--file", text="File")
    levels: Sequence[float] = option((), "Levels.", flags="--levels", low=0, text="Levels")
    size: tuple[int, int] = option((0, 0), "Sizes.", flags="--size", low=0, text="Two")
    ratio: tuple[float, float] = option((0.0, 0.0), "Ratios.", flags="--ratio", text="Ratio")
    point: StepPoint = option(0, "When.", flags="--point", text="Point")

    def __post_init__(self) -> None:
        check(self)


GIVEN: dict[str, Any] = {
    "count": 6, "part": 0.25, "maybe": 2.0, "way": "fast", "is_on": True, "is_off": False,
    "file": Path("folder/a.bin"), "levels": (2.0, 1.0), "size": (2, 3), "ratio": (0.5, 1.0),
    "point": 0.2,
}  # fmt: skip


def test_facts_are_those_of_the_fields() -> None:
    facts = of(Options)
    assert list(facts) == ["name", *GIVEN]
    assert facts["name"].default is MISSING
    assert (facts["count"].name, facts["count"].default, facts["count"].kind) == (
        "count", 4, "whole",
    )  # fmt: skip
    assert facts["maybe"].optional
    assert facts["file"].optional
    assert not facts["part"].optional
    assert facts["way"].kind == "choice"
    assert facts["ratio"].kind == "pair"
    with pytest.raises(FrozenInstanceError):
        facts["count"].low = 0  # type: ignore[misc]
    assert Options("a").count == Options.count == 4


def test_a_field_of_an_unknown_type_is_a_programmers_mistake() -> None:
    @dataclass
    class Wrong:
        when: complex = option(0j, "No kind of value.")

    with pytest.raises(KeyError, match="complex"):
        of(Wrong)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("name", "long", "name has 4 characters, but may have 3"),
        ("count", 1, "count is 1, but must be from 2 to 8"),
        ("count", 3, "count is 3, but must be a multiple of 2; use 2 or 4"),
        ("count", 4.0, "count is 4.0, but must be a whole number"),
        ("part", 1.5, "part is 1.5, but must be from 0 to 1"),
        ("part", None, "part is None, but must be a number"),
        ("maybe", math.nan, "maybe is nan"),
        ("way", "late", "way is 'late', but must be one of slow, fast"),
        ("file", "", "file is '', which cannot be a path"),
        ("levels", (1.0, -1.0), "levels is -1, but must be from 0"),
        ("size", (1, 2.5), "size is 2.5, but must be a whole number"),
        ("point", 1.5, "point as a fraction of the steps is 1.5"),
    ],
)
def test_a_value_out_of_range_is_refused(name: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Options(**{"name": "a", name: value})


def test_values_in_range_are_taken() -> None:
    assert Options("abc", **GIVEN).maybe == 2.0


def test_the_command_line_has_them() -> None:
    command = click.Command("x")
    for add in fact_option.fact_options("Picture", Options):
        add(command)
    assert [parameter.name for parameter in command.params] == ["name", *GIVEN]
    words = "-c 6 --part 0.25 --maybe 2 --way fast --on --no-off --file folder/a.bin --levels 2,1"
    words += " --size 2x3 --ratio 0.5x1 --point 20%"
    assert command.make_context("x", words.split()).params == {"name": None, **GIVEN}
    defaults = {name: of(Options)[name].default for name in GIVEN}
    assert command.make_context("x", []).params == {"name": None, **defaults}
    help = command.get_help(click.Context(command, terminal_width=80))
    assert "-c, --count INTEGER  How many.  [default: 4]" in help
    assert "--way slow|fast" in help


def test_a_pictures_text_has_them() -> None:
    entries = text_entries.entries_of(Options, first=("way",))
    written = text_entries.write_entries(entries, Options("a", **GIVEN))
    assert written == {
        "Way": "Quick", "Count": "6", "Part": "0.25", "Maybe": "2.0", "Is on": "True",
        "Is off": "False", "File": "a.bin", "Levels": "2.0 1.0", "Two": "2x3",
        "Ratio": "0.5x1.0", "Point": "0.2",
    }  # fmt: skip
    assert next(iter(written)) == "Way"
    assert text_entries.read_entries(entries, written) == {**GIVEN, "file": "a.bin"}


def test_the_binding_has_them() -> None:
    options = Options("a", **GIVEN)
    arguments = binding.to_binding(options)
    assert arguments == {
        "name": "a", "count": 6, "part": 0.25, "maybe": 2.0, "speed": "rapid", "is_on": True,
        "is_off": False, "file": str(Path("folder/a.bin")), "levels": "2.0,1.0", "size": "2x3",
        "ratio": "0.5x1.0", "point": 0.2,
    }  # fmt: skip
    assert binding.to_binding(Options("a"))["maybe"] == math.inf
    for speed, way in (("fast", "fast"), (1, "fast"), (None, "slow"), ("default", "slow")):
        back = binding.from_binding(
            Options, {**arguments, "speed": speed}, {"speed": {"SLOW": 0, "FAST": 1}}, {"file"}
        )
        assert back.pop("levels") == [2.0, 1.0]
        expected = {**GIVEN, "way": way}
        assert {"levels": (2.0, 1.0), "file": GIVEN["file"], **back} == {"name": "a", **expected}


def test_another_dataclass_can_have_the_same() -> None:
    @dataclass
    class Other:
        count: int = same_as(Options, "count")

    assert Other.count == 4
    assert of(Other)["count"] == of(Options)["count"]
    assert of(Person)["weight"] == of(IdentityOptions)["weight"]


def test_every_kind_of_value_is_known_where_options_are_used() -> None:
    kinds = set(get_args(Kind))
    assert fact_option._TYPES.keys() == kinds - {"switch", "choice"}
    # Pictures and identities have entries of their own, which say whose face it was.
    # Only settings of the server are lists of texts.
    elsewhere = {"picture", "pictures", "identity", "face", "choice", "loras", "texts"}
    assert text_entries._FORMS.keys() == kinds - elsewhere
    assert batch_fields._READERS.keys() == kinds - {"identity", "texts"}
    settings = [fact for fact in of(GenerationOptions).values() if fact.preset]
    assert {fact.kind for fact in settings} <= registry._TYPES.keys()


def test_every_option_has_a_fact() -> None:
    for kind in (ContextOptions, GenerationOptions, IdentityOptions):
        without = kind.__dataclass_fields__.keys() - of(kind).keys()
        made_of_others = {IdentityOptions: {"people"}, GenerationOptions: {"lora_files"}}
        assert without == made_of_others.get(kind, set())
        for fact in of(kind).values():
            assert fact.help.endswith((".", ".)"))
            assert fact.flags or fact.name == "vae_decode_only"


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        (GenerationOptions("p", seed=np.int64(3)), "seed", 3),
        (GenerationOptions("p", width=np.uint16(64)), "width", 64),
        (GenerationOptions("p", guidance=np.float32(2.5)), "guidance", 2.5),
        (GenerationOptions("p", guidance=np.float64(2.5)), "guidance", 2.5),
        (GenerationOptions("p", guidance=np.array(2.5)), "guidance", 2.5),
        (GenerationOptions("p", vae_tiling=np.True_), "vae_tiling", True),
        (GenerationOptions("p", sigmas=np.array([1.0, 0.5, 0.0])), "sigmas", (1.0, 0.5, 0.0)),
        (GenerationOptions("p", sigmas=[np.float64(1), 0.0]), "sigmas", [1.0, 0.0]),
        (GenerationOptions("p", vae_tile_size=(np.int8(8), 8)), "vae_tile_size", (8, 8)),
        (Person("a.pulidembd", weight=np.float32(0.5)), "weight", 0.5),
        (Person("a.pulidembd", start_step=np.int64(2)), "start_step", 2),
        (Region(box=(np.float64(0), 0, np.float64(0.5), 1)), "box", (0.0, 0, 0.5, 1)),
        (Region(box=tuple(np.array([0, 0, 32, 16]))), "box", (0, 0, 32, 16)),
    ],
)
def test_numbers_of_numpy_become_pythons_own(options: Any, name: str, expected: Any) -> None:
    """JSON takes no other, and a picture's text would say np.int64(3)."""
    value = getattr(options, name)
    assert value == expected
    assert json.loads(json.dumps(value)) == json.loads(json.dumps(expected))
    assert repr(value) == repr(expected)


@pytest.mark.parametrize("seed", [np.float64(3.5), np.array([3, 4]), np.str_("3"), np.True_])
def test_numbers_of_numpy_are_checked_as_others(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"seed is .*, but must be a whole number"):
        GenerationOptions("p", seed=seed)
