"""`pulid-sdcpp batch` as it is called: what it says, where, and its exit status."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fake_engine import Call, FakeEngine
from pulid_sdcpp import Identity
from pulid_sdcpp.batch.fields import SHARED_FIELDS
from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands.batch import batch
from pulid_sdcpp.engine import factory
from pulid_sdcpp.errors import GenerationError, NativeLibraryError
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.pictures.png_text import parse_text, read_picture_text

FILES = ("flux.gguf", "taef1.safetensors", "clip_l.gguf", "pulid.safetensors")
MODELS = [
    *("--diffusion-model", FILES[0], "--tae", FILES[1], "--clip_l", FILES[2]),
    *("--pulid-weights", FILES[3]),
]
JOBS = """
prompts = ["one", "two"]
seeds = [1, 2]
width = 64
height = 32
steps = 2
[people.alice]
identity = "alice.pulidembd"
"""
NAMES = [f"alice-{prompt}-s{seed}-w1.png" for prompt in ("one", "two") for seed in (1, 2)]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(factory, "load_engine", fake.create)
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        Path(name).write_bytes(name.encode())
    Identity.from_array([[0.5] * 8] * 4).save("alice.pulidembd")
    Path("jobs.toml").write_text(JOBS)
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["batch", "jobs.toml", *MODELS, *arguments])


def objects(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def from_stdin(text: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["batch", "-", *MODELS, *arguments], input=text)


@pytest.mark.parametrize(
    "text",
    [
        'prompts = ["one"]\nname = "{prompt}"\nwidth = 64\nheight = 32\nsteps = 2\n',
        '{"prompt": "one", "name": "one", "width": 64, "height": 32, "steps": 2}\n',
        "prompt,name,width,height,steps\none,one,64,32,2\n",
    ],
)
def test_jobs_come_from_stdin_in_any_format(engine: FakeEngine, text: str) -> None:
    result = from_stdin(text, "-o", "pictures")
    assert result.exit_code == 0, result.output
    assert Path("pictures", "one.png").is_file()
    assert "checking 1 job and" in result.stderr
    assert "1 picture for the folder pictures: 1 to make, 0 already there" in result.stderr
    again = from_stdin(text, "-o", "pictures")
    assert "0 to make, 1 already there" in again.stderr
    without = from_stdin(text)
    assert (without.exit_code, without.stderr) == (
        1, "error: stdin: no folder for the pictures is named; add --output-dir\n",
    )  # fmt: skip
    assert "error: stdin, line 1: not JSON" in from_stdin("{", "-o", "pictures").stderr


def test_each_job_has_its_own_choices(engine: FakeEngine) -> None:
    Path("wild").mkdir()
    Path("wild", "hat.txt").write_text("cap\nbeanie\n")
    jobs = (
        'prompts = ["a {red|blue} __hat__"]\nseeds = {first = 1, count = 6}\nwidth = 64\n'
        'height = 32\nsteps = 2\nname = "{prompt}-{seed}"\nwildcards_dirs = "wild"\n'
    )
    result = from_stdin(jobs, "-o", "out")
    assert result.exit_code == 0, result.output
    prompts = [call.picture.prompt for call in engine.calls]
    assert len(prompts) == 6
    assert len(set(prompts)) > 1
    text = read_picture_text(Path("out", "a-red-blue-__hat-1.png"))
    assert text is not None
    assert parse_text(text).values["Template"] == "a {red|blue} __hat__"
    assert "0 to make, 6 already there" in from_stdin(jobs, "-o", "out").stderr
    plain = from_stdin(f"wildcards = false\n{jobs}", "-o", "plain")
    assert plain.exit_code == 0
    assert engine.calls[-1].picture.prompt == "a {red|blue} __hat__"
    Path("wild", "hat.txt").unlink()
    assert "stdin, prompt 1: prompt: there is no wildcard hat" in from_stdin(jobs).stderr


def test_pictures_have_a_quality(engine: FakeEngine) -> None:
    jobs = 'prompts = ["one"]\nname = "{prompt}.jpg"\nquality = 5\nwidth = 64\nheight = 32\n'
    assert from_stdin(jobs, "-o", "low").exit_code == 0
    assert from_stdin(jobs, "-o", "high", "--quality", "95").exit_code == 0
    sizes = [Path(folder, "one.jpg").stat().st_size for folder in ("low", "high")]
    assert sizes[0] < sizes[1]
    result = from_stdin(jobs, "-o", "exact", "--quality", "lossless")
    assert "stdin, prompt 1: quality is lossless, but .jpg never is" in result.stderr
    assert "quality is 0" in from_stdin(jobs.replace("5", "0"), "-o", "x").stderr


def test_it_makes_the_pictures_and_sums_up(engine: FakeEngine) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in Path("jobs").iterdir()) == [
        *NAMES, "contact-sheet.png", "summary.json",
    ]  # fmt: skip
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines[:5]] == [
        str(Path("jobs", name)) for name in (*NAMES, "contact-sheet.png")
    ]
    assert [line.split() for line in lines[5:8]] == [
        ["made", "4"], ["already", "there", "0"], ["failed", "0"],
    ]  # fmt: skip
    assert lines[8].split()[0] == "time"
    assert "4 pictures for the folder jobs: 4 to make, 0 already there" in result.stderr
    assert [(call.picture.prompt, call.picture.seed) for call in engine.calls] == [
        ("one", 1), ("one", 2), ("two", 1), ("two", 2),
    ]  # fmt: skip
    assert all(call.people for call in engine.calls)
    assert (engine.context and engine.context.vae_decode_only, engine.closed) == (True, 1)
    again = run()
    assert again.exit_code == 0
    assert "already there        4" in again.stdout
    assert len(engine.calls) == 4


def test_options_are_given_where_the_file_says_nothing(engine: FakeEngine) -> None:
    Path("jobs.csv").write_text(
        "person,prompt,seed,steps\nalice.pulidembd,one,1,\nalice.pulidembd,one,2,3\n"
    )
    arguments = ["-W", "32", "-H", "32", "--steps", "1", "--pulid-id-weight", "0.5", "-o", "here"]
    result = CliRunner().invoke(main, ["batch", "jobs.csv", *MODELS, *arguments])
    assert result.exit_code == 0, result.output
    assert [call.picture.steps for call in engine.calls] == [1, 3]
    assert {(call.picture.width, call.person.weight) for call in engine.calls} == {(32, 0.5)}
    assert Path("here", "alice-one-s2-w0.5.png").is_file()


def test_every_shared_setting_and_model_file_is_an_option() -> None:
    given = set(batch.make_context("batch", ["jobs.toml"]).params)
    context = set(ContextOptions.__dataclass_fields__) - {"vae_decode_only"}
    of_the_command = {"file", "output_dir", "dry_run", "as_json", "quiet", "overwrite", "preset",
                      "models_dirs", "vram", "quality", "wildcards_dirs",
                      "no_wildcards"}  # fmt: skip
    assert given == set(SHARED_FIELDS) | context | of_the_command


def test_a_dry_run_lists_and_makes_nothing(engine: FakeEngine) -> None:
    result = run("--dry-run")
    assert result.exit_code == 0, result.output
    assert [line.split()[-1] for line in result.stdout.splitlines()] == [
        str(Path("jobs", name)) for name in NAMES
    ]
    assert not Path("jobs").exists()
    assert engine.context is None
    run()
    Path("jobs", NAMES[0]).unlink()
    Path("jobs", NAMES[1]).write_bytes(b"mine")
    result = run("--dry-run", "--json")
    assert result.exit_code == 1
    planned = [each for each in objects(result) if each["event"] == "planned"]
    assert [each["state"] for each in planned] == ["new", "taken", "there", "there"]
    assert (planned[1]["job"], planned[1]["seed"]) == ("jobs.toml, prompt 1", 2)
    assert "is not a picture" in planned[1]["problem"]
    assert Path("jobs", NAMES[1]).read_bytes() == b"mine"


@pytest.mark.parametrize("flags", [[], ["--quiet"], ["--json"]])
def test_failures_are_listed_at_the_end_with_status_1(engine: FakeEngine, flags: list[str]) -> None:
    engine.failure = GenerationError("the engine is out of memory")
    result = run(*flags)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[-4:] == [
        f"failed: {name} (jobs.toml, prompt {prompt}): the engine is out of memory"
        for name, prompt in zip(NAMES, "1122", strict=True)
    ]
    assert sum("out of memory" in line for line in lines) == 4  # each is said once
    if flags == ["--quiet"]:
        assert len(lines) == 4
        assert result.stdout == ""
    if flags == ["--json"]:
        assert objects(result)[-1]["failed"] == 4
        failed = [each for each in objects(result) if each["event"] == "failed"]
        assert [Path(each["path"]).name for each in failed] == NAMES
        assert failed[3]["job"] == "jobs.toml, prompt 2"


def test_a_taken_name_is_said_once_in_its_line(engine: FakeEngine) -> None:
    Path("jobs").mkdir()
    Path("jobs", NAMES[1]).write_bytes(b"mine")
    result = run()
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert line.count(NAMES[1]) == 1
    assert line.startswith(f"failed: {Path('jobs', NAMES[1])} (jobs.toml, prompt 1) ")


def test_json_says_everything_as_objects(engine: FakeEngine) -> None:
    result = run("--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    saved = [each for each in objects(result) if each["event"] == "saved"]
    assert [Path(each["path"]).name for each in saved] == NAMES
    assert [each["seed"] for each in saved] == [1, 2, 1, 2]
    assert objects(result)[-1] | {"time_s": 0} == {
        "event": "summary", "made": 4, "already_there": 0, "failed": 0, "waiting": 0, "time_s": 0,
        "contact_sheets": [str(Path("jobs", "contact-sheet.png"))],
    }  # fmt: skip
    assert run("--quiet").output == ""


def test_ctrl_c_keeps_what_is_finished(engine: FakeEngine) -> None:
    draw = engine.draw

    def interrupted(call: Call) -> list[Image.Image]:
        if len(engine.calls) == 3:
            raise KeyboardInterrupt
        return draw(call)

    engine.draw = interrupted  # type: ignore[method-assign]
    result = run()
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == (
        "interrupted; finished pictures are kept; run the same command again to continue"
    )
    assert "not reached          2" in result.stdout
    assert json.loads(Path("jobs", "summary.json").read_text())["waiting"] == 2
    engine.draw = draw  # type: ignore[method-assign]
    assert "made                 2\nalready there        2\n" in run().stdout


def test_an_engine_that_is_missing_is_said_once(engine: FakeEngine) -> None:
    engine.failure = NativeLibraryError("the engine is not there")
    result = run()
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "error: the engine is not there"
    assert len(engine.calls) == 1


@pytest.mark.parametrize(
    ("text", "arguments", "status", "words"),
    [
        ("prompts = 3", MODELS, 1, "error: jobs.toml, prompts: 3 is not a list of prompts"),
        (JOBS, [], 2, "error: no model is named"),
        (JOBS, ["--preset", "nothing"], 2, "error: .*nothing"),
        (JOBS, MODELS[:-2], 1, "prompt 1: there is a person, but no PuLID weights"),
        (JOBS, [*MODELS, "--json", "--quiet"], 2, "exclude each other"),
        (f"cfg_scale = -1\n{JOBS}", MODELS, 1, "prompt 1: cfg_scale is -1, but must be"),
        (JOBS, [*MODELS, "--steps", "0"], 1, "prompt 1: steps is 0, but must be"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    engine: FakeEngine, text: str, arguments: list[str], status: int, words: str
) -> None:
    Path("jobs.toml").write_text(text)
    result = CliRunner().invoke(main, ["batch", "jobs.toml", *arguments])
    assert result.exit_code == status
    line = result.stderr.splitlines()[-1]
    assert re.search(words, line), line
    assert not Path("jobs").exists()
    assert engine.context is None


def test_a_picture_of_a_batch_can_be_a_start(engine: FakeEngine) -> None:
    Image.new("RGB", (32, 48)).save("room.png")
    Path("jobs.toml").write_text('[[jobs]]\nprompt = "a"\ninit_image = "room.png"\nheight = 16')
    result = run()
    assert result.exit_code == 0, result.output
    assert (engine.calls[0].picture.width, engine.calls[0].picture.height) == (32, 16)
    assert engine.context is not None
    assert not engine.context.vae_decode_only
