from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from file_drafts import write_pulid_weights
from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands.convert import convert
from pulid_sdcpp.options.context import WEIGHT_TYPES


@pytest.fixture
def pulid(tmp_path: Path) -> Path:
    sizes = {"layers": 1, "hidden": 256, "id_dim": 256}
    return write_pulid_weights(tmp_path / "pulid.safetensors", **sizes)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


@pytest.mark.engine
def test_it_says_what_the_file_is_and_how_the_result_was_checked(
    pulid: Path, tmp_path: Path
) -> None:
    result = run(pulid, "-o", tmp_path / "out.gguf", "--type", "Q4_k")
    assert result.exit_code == 0, result.output
    assert f"{pulid}: PuLID weights for a Flux of width 256" in result.stderr
    assert "keep INPUT: extraction can read only" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"saved {tmp_path / 'out.gguf'}"
    assert lines[1] == "  527 kB -> 151 kB (29%)"
    assert lines[2] == "  tensors: q4_k x 3, f32 x 2, f16 x 2"
    assert lines[3].startswith("  checked: names, shapes, types and values; ")
    assert "the largest error of a tensor is 0.0" in lines[3]


@pytest.mark.engine
def test_what_may_not_be_meant_is_noted(pulid: Path, tmp_path: Path) -> None:
    rules = ("--tensor-type-rules", "foo=q4_0,to_q=q8_0")
    result = run(pulid, "-o", tmp_path / "new" / "out.gguf", "--type", "q8_0", *rules)
    assert result.exit_code == 0, result.output
    assert "note: the rule foo=q4_0 decides about no tensor of INPUT\n" in result.stderr
    assert "to_q" not in result.stderr
    again = run(tmp_path / "new" / "out.gguf", "-o", tmp_path / "other.gguf", "--type", "q4_0")
    assert "note: INPUT is quantized already (q8_0), so more is lost than from" in again.stderr


def test_what_is_refused_was_not_begun(pulid: Path, tmp_path: Path) -> None:
    (tmp_path / "out.gguf").write_bytes(b"mine")
    result = run(pulid, "-o", tmp_path / "out.gguf", "--type", "q8_0")
    assert "converting to" not in result.stderr


@pytest.mark.engine
def test_quiet_prints_nothing(pulid: Path, tmp_path: Path) -> None:
    result = run(pulid, "-o", tmp_path / "out.gguf", "--type", "q8_0", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--type", "q4_9"), 2, "'q4_9' is not one of 'f32', 'f16'"),
        ((), 2, "Missing option '--type'"),
        (("--type", "q8_0", "--tensor-type-rules", "to_q"), 2, "must have PATTERN=TYPE"),
        (("--type", "q8_0"), 1, "out.gguf: it exists"),
    ],
)
def test_mistakes_are_one_line(
    pulid: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, message: str
) -> None:
    (tmp_path / "out.gguf").write_bytes(b"mine")
    result = run(pulid, "-o", tmp_path / "out.gguf", *arguments)
    assert result.exit_code == status
    assert message in result.stderr.splitlines()[-1]
    assert (tmp_path / "out.gguf").read_bytes() == b"mine"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    result = run(tmp_path / "absent.gguf", "-o", tmp_path / "out.gguf", "--type", "q8_0")
    assert result.exit_code == 1
    assert "absent.gguf: no such file" in result.stderr


def test_every_type_is_offered() -> None:
    (option,) = [option for option in convert.params if option.name == "wtype"]
    assert tuple(option.type.choices) == WEIGHT_TYPES[1:]  # type: ignore[attr-defined]
