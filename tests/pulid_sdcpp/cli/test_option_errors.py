"""Errors about options name them as they are typed: flags in commands, fields elsewhere."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pulid_sdcpp import ContextOptions, GenerationOptions, IdentityOptions
from pulid_sdcpp.cli import main
from pulid_sdcpp.errors import Message, ModelFileError, named, option_error, spelled
from pulid_sdcpp.evaluation.options import EvaluationOptions
from pulid_sdcpp.options.facts import Fact, of
from pulid_sdcpp.people.person_spec import PersonSpec

ROOT = Path(__file__).resolve().parents[3]
CLASSES = (ContextOptions, GenerationOptions, IdentityOptions, PersonSpec)
FACTS = {
    fact.name: fact for kind in CLASSES for fact in of(kind).values() if fact.flags and fact.checked
}
NAMES = {
    name for kind in (*CLASSES, EvaluationOptions) for name in vars(kind)["__dataclass_fields__"]
}
PYTHON_ONLY = re.compile(
    rf"(?<![\w-])({'|'.join(sorted(name for name in NAMES if '_' in name))})(?![\w])"
)
BAD = {
    "whole": "9" * 30,
    "number": "nan",
    "choice": "nonsense",
    "file": "",
    "picture": "",
    "pictures": "",
    "identity": "",
    "numbers": "1,nan",
    "whole numbers": "1,x",
    "pair": "nan,nan",
    "whole pair": "-5,-5",
    "step": "-3",
    "face": "nonsense",
    "text": "x" * 10_001,
}
"""Of each kind of value, one that no option takes."""


def flag_of(fact: Fact) -> str:
    return fact.flags.split()[-1].partition("/")[0]


def refused(*arguments: str) -> str:
    """The one line that a command says; it is a mistake in the command."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 2, result.output
    (line,) = [each for each in result.stderr.splitlines() if each.startswith("error: ")]
    assert not PYTHON_ONLY.search(line), line
    return line


@pytest.mark.parametrize("name", [name for name, fact in FACTS.items() if fact.kind in BAD])
def test_a_value_that_an_option_cannot_have_is_refused_with_its_flag(name: str) -> None:
    fact = FACTS[name]
    base = ["generate", "--preset", "pocket"]
    if name != "prompt":
        base += ["-p", "x"]
    flag = flag_of(fact)
    assert flag in refused(*base, f"{flag}={BAD[fact.kind]}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--mask m.png", "--mask is given without --init-img; name the picture it masks"),
        ("-W 17", "-W is 17, but must be a multiple of 16; use 16 or 32"),
        ("--width 17", "--width is 17, but must be a multiple of 16; use 16 or 32"),
        ("--sigmas 1", "--sigmas has 1 value, but must have 2 to 1001"),
        ("--sigmas 0.1,0.2", "--sigmas must not rise from one step to the next"),
        ("--scheduler gits --steps 1", "--steps is 1, but the gits scheduler needs at least 2"),
        ("--cache-option threshold=1", "--cache-option is 'threshold=1', but no --cache-mode"),
        ("--cache-mode easycache --cache-option x=1", "--cache-option: easycache has no 'x', only"),
        ("--vae-tile-size 3x3", "--vae-tile-size is 3, but must be 0 or from 8 to 512"),
        ("--tensor-type-rules x", "--tensor-type-rules has 'x', but must have PATTERN=TYPE"),
        ("--max-vram 3 --vram 4", "--max-vram is given together with --vram"),
        ("--seed 9223372036854775807 -b 2", "--seed is 9223372036854775807 and -b 2: the last"),
        ("--sampling-method tcd --eta 2", "--eta is 2, but with the tcd method it may"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused_with_their_flags(
    arguments: str, said: str
) -> None:
    line = refused("generate", "--preset", "pocket", "-p", "x", *arguments.split())
    assert line.startswith(f"error: {said}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--diffusion-model m --tae t", "no text encoder is given; name --clip_l or --t5xxl"),
        ("--diffusion-model m --clip_l t", "no autoencoder is given; name --vae or --taesd"),
    ],
)
def test_what_a_model_needs_is_named_by_its_flags(arguments: str, said: str) -> None:
    assert refused("generate", "-p", "x", *arguments.split()) == f"error: {said}"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("weight=9", "weight is 9, but must be from 0 to 5"),
        ("weight=x", "weight is 'x', which is not a number"),
        ("start=x", "'x' is not a step; give a number (4) or a share of the steps (0.2, 20%)"),
        ("box=0,0,1,1:mask=m.png", "a region needs either a box or a mask, but both are given"),
    ],
)
def test_a_setting_of_one_person_is_refused_with_that_person(setting: str, said: str) -> None:
    text = f"rose.png:{setting}"
    line = refused("generate", "--preset", "pocket", "-p", "x", "--person", text)
    assert line == f"error: {text!r}: {said}"


def test_sweeps_are_named_by_their_flags(tmp_path: Path) -> None:
    line = refused("evaluate", "--pocket", "--id-weights", "1,9", "-o", str(tmp_path / "out"))
    assert line == "error: --id-weights is 9, but must be from 0 to 5"


@pytest.mark.parametrize("make", [option_error, lambda text: ModelFileError(Message(text))])
def test_in_python_an_error_names_the_keyword(make: Any) -> None:
    error = make(f"{named('mask_image')} is given without {named('init_image')}")
    error = pickle.loads(pickle.dumps(error))
    assert str(error) == "mask_image is given without init_image"
    assert spelled(error, str.upper) == "MASK_IMAGE is given without INIT_IMAGE"
    assert spelled(ValueError("mask_image"), str.upper) == "mask_image"
    with pytest.raises(ValueError, match=r"^mask_image is given without init_image; name"):
        GenerationOptions("x", mask_image="m.png")


PYTHON_ALONE = {
    "batch_count": "request/picture_request.py",  # of `PulidFlux.generate`
    "vae_decode_only": "",  # no flag
}


def test_no_error_names_an_option_in_a_way_that_a_command_cannot_spell() -> None:
    """What has a flag is written as {named("...")}; messages about the binding's arguments are not
    about flags.
    """
    flagged = "|".join(name for name in FACTS if "_" in name and name not in PYTHON_ALONE)
    pattern = re.compile(rf"(?<![\w-])({flagged})(?!\w)")
    found = []
    for path in (ROOT / "pulid_sdcpp").rglob("*.py"):
        if {"_vendor", "batch"} & set(path.parts) or path.name == "binding_arguments.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise):
                found += [f"{path.name}: {text}" for text in texts(node) if pattern.search(text)]
    assert found == []


def texts(node: ast.AST) -> Iterator[str]:
    """The texts in an expression, without those that `named` has."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "named":
        return
    for child in ast.iter_child_nodes(node):
        yield from texts(child)
