"""`generate --grid`, with an engine that computes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fake_engine import Call, FakeEngine
from pulid_sdcpp import Identity
from pulid_sdcpp.batch import key as batch_key
from pulid_sdcpp.cli import main
from pulid_sdcpp.engine import factory
from pulid_sdcpp.errors import GenerationError
from pulid_sdcpp.pictures.png_text import parse_text, read_picture_text
from pulid_sdcpp.request import picture_request

FILES = ("flux.gguf", "taef1.safetensors", "clip_l.gguf", "pulid.safetensors")
BASE = [
    *("--diffusion-model", FILES[0], "--tae", FILES[1], "--clip_l", FILES[2]),
    *("--pulid-weights", FILES[3], "-W", "64", "-H", "32", "--steps", "2"),
]
ALICE = ("--portrait", "alice.pulidembd", "-p", "a red hat")
GRID = ("--grid", "id-weight=0.6,1.0", "--grid", "seed=1-2")
NAMES = [f"id-weight-{w}_seed-{s}.png" for w in ("0.6", "1.0") for s in (1, 2)]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(factory, "load_engine", fake.create)
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        Path(name).write_bytes(name.encode())
    Identity.from_array([[0.5] * 8] * 4).save("alice.pulidembd")
    Identity.from_array([[0.25] * 8] * 4).save("bob.pulidembd")
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["generate", *BASE, *arguments])


def text_of(path: str | Path) -> dict[str, str]:
    text = read_picture_text(path)
    assert text is not None
    return {"prompt": parse_text(text).prompt, **parse_text(text).values}


def test_each_value_is_a_picture_and_all_are_on_a_sheet(engine: FakeEngine) -> None:
    result = run(*ALICE, *GRID)
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir("grid")) == sorted(["grid.png", *NAMES, "summary.json"])
    assert [(call.person.weight, call.picture.seed) for call in engine.calls] == [
        (0.6, 1), (1.0, 1), (0.6, 2), (1.0, 2),
    ]  # fmt: skip
    assert text_of("grid/id-weight-0.6_seed-2.png")["PuLID weight"] == "0.6"
    # Finished ones are known again; the sheet has the same bytes.
    sheet = Path("grid", "grid.png").read_bytes()
    Path("grid", NAMES[1]).unlink()
    again = run(*ALICE, *GRID)
    assert again.exit_code == 0, again.output
    assert len(engine.calls) == 5
    assert Path("grid", "grid.png").read_bytes() == sheet
    # With other settings they are others, which are not replaced.
    other = run(*ALICE, *GRID, "--guidance", "2")
    assert other.exit_code == 1
    assert "was made with other settings" in other.stderr
    assert len(engine.calls) == 5


@pytest.mark.parametrize(
    ("flags", "folder", "sheet"),
    [
        (["-o", "out/weights.png"], "out/weights", "out/weights.png"),
        (["-o", "out/deep/"], "out/deep", "out/deep/grid.png"),
        (["-o", "new"], "new", "new/grid.png"),
        (["-o", "sheet.jpg", "--format", "jpg", "--quality", "50"], "sheet", "sheet.jpg"),
    ],
)
def test_where_a_grid_goes(engine: FakeEngine, flags: list[str], folder: str, sheet: str) -> None:
    result = run(*ALICE, "--grid", "seed=1,2", *flags)
    assert result.exit_code == 0, result.output
    suffix = ".jpg" if "jpg" in flags else ".png"
    assert {f"seed-1{suffix}", f"seed-2{suffix}"} < set(os.listdir(folder))
    assert Path(sheet).is_file()


def test_people_prompts_and_words_can_be_axes(engine: FakeEngine) -> None:
    people = "person=alice.pulidembd,bob.pulidembd:weight=0.5"
    axes = [word for axis in ("replace=red,blue", people, "steps=1,2") for word in ("--grid", axis)]
    result = run("-p", "a red hat", *axes)
    assert result.exit_code == 0, result.output
    seen = {(c.picture.prompt, c.person.weight, c.picture.steps) for c in engine.calls}
    assert seen == {
        (prompt, weight, steps)
        for prompt in ("a red hat", "a blue hat") for weight in (1.0, 0.5) for steps in (1, 2)
    }  # fmt: skip
    assert {"grid-1.png", "grid-2.png"} < set(os.listdir("grid"))
    assert run("--grid", "prompt=a {b|b},c", "-o", "prompts").exit_code == 0
    assert [call.picture.prompt for call in engine.calls[-2:]] == ["a b", "c"]
    assert (
        text_of(f"prompts/{next(n for n in os.listdir('prompts') if 'b-b' in n)}")["Template"]
        == "a {b|b}"
    )


def test_a_picture_that_is_there_is_varied(engine: FakeEngine) -> None:
    assert run(*ALICE, "-o", "first.png", "--guidance", "2").exit_code == 0
    result = run("--from", "first.png", "--grid", "id-weight=0.6,1.0", "-o", "again")
    assert result.exit_code == 0, result.output
    assert [(c.person.weight, c.picture.guidance) for c in engine.calls[1:]] == [(0.6, 2), (1.0, 2)]
    one, other = text_of("again/id-weight-1.0.png"), text_of("first.png")
    assert one.pop("Batch job")
    assert one == other


def test_another_picture_to_start_from_gives_the_size(engine: FakeEngine) -> None:
    for name, width in (("a.png", 64), ("b.png", 96)):
        Image.new("RGB", (width, 32)).save(name)
    model = [*BASE[:8], "--steps", "2"]
    runner = CliRunner()
    first = ["generate", *model, "-p", "a hat", "-i", "a.png", "-o", "first.png"]
    assert runner.invoke(main, first).exit_code == 0
    again = ["generate", *model, "--from", "first.png", "-i", "b.png", "--grid", "seed=1,2"]
    result = runner.invoke(main, again)
    assert result.exit_code == 0, result.output
    assert [call.picture.width for call in engine.calls] == [64, 96, 96]


def test_somebody_else_takes_the_place_of_a_pictures_person(engine: FakeEngine) -> None:
    assert run(*ALICE, "-o", "first.png").exit_code == 0
    people = "portrait=bob.pulidembd,alice.pulidembd"
    assert run("--from", "first.png", "--grid", people).exit_code == 0
    hashes = [call.identity.sha256 for call in engine.calls]
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_failure_costs_its_own_picture_only(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = engine.step

    def fail(call: Call, number: int) -> None:
        if call.picture.seed == 1:
            raise GenerationError("no")
        step(call, number)

    monkeypatch.setattr(engine, "step", fail)
    result = run(*ALICE, "--grid", "seed=1,2", "--json")
    assert result.exit_code == 1
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["event"] == "summary"
    assert (events[-1]["made"], events[-1]["failed"]) == (1, 1)
    assert [event["path"] for event in events if event["event"] == "saved"] == [
        str(Path("grid", "seed-2.png"))
    ]
    assert "failed: seed-1.png (the grid's seed 1): no" in result.stderr
    assert Path("grid", "grid.png").is_file()


def test_ctrl_c_keeps_what_is_finished(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    step = engine.step

    def interrupt(call: Call, number: int) -> None:
        if call.picture.seed == 2:
            raise KeyboardInterrupt
        step(call, number)

    monkeypatch.setattr(engine, "step", interrupt)
    result = run(*ALICE, "--grid", "seed=1-3")
    assert result.exit_code == 130
    assert "finished pictures are kept; run the same command again" in result.stderr
    monkeypatch.setattr(engine, "step", step)
    assert "2 to make, 1 already there" in run(*ALICE, "--grid", "seed=1-3").stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--grid", "id-weihgt=1"], "did you mean id-weight?"),
        (["--grid", "seed=1", "-b", "2"], "--grid and --batch-count exclude each other"),
        (["--grid", "steps=1", "-s", "-1"], "--grid needs a seed of 0 or more"),
        (["--grid", "seed=1", "--disable-image-metadata"], "knows its pictures by their text"),
        (["--grid", "seed=1", "-o", "-"], "-o - takes one picture"),
        (["--grid", "seed=1", "--preview", "proj"], "--grid has no previews; leave --preview"),
        (["--grid", "seed=1", "-o", "{seed}"], "with --grid, -o is a folder, without fields"),
        (["--grid", "replace=green,blue"], "replace green: the prompt has no 'green' to replace"),
        (["--grid", "id-start-step=0,7"], "the grid's id-start-step 7: "),
        (["--grid", "sampling-method=euler,fast"], "the grid's sampling-method fast: "),
    ],
)
def test_a_mistake_is_said_before_any_work(
    engine: FakeEngine, flags: list[str], words: str
) -> None:
    before = sorted(os.listdir())
    result = run(*ALICE, *flags)
    assert result.exit_code in (1, 2), result.output
    assert words in result.stderr
    assert not engine.calls
    assert sorted(os.listdir()) == before


def test_an_axis_that_would_change_nothing_is_refused(engine: FakeEngine) -> None:
    person = ("--person", "alice.pulidembd:weight=0.9", "-p", "a", "--grid", "id-weight=0.5,1")
    assert "a person has a weight of their own" in run(*person).stderr
    nobody = run("-p", "a", "--grid", "id-weight=0.5,1")
    assert "--id-weight is about a person, and none is given" in nobody.stderr


def test_a_lora_counts_once_in_each_picture(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (picture_request, batch_key):  # this file is no LoRA
        monkeypatch.setattr(module, "check_prompt_loras", lambda *args, **options: None)
    Path("far").mkdir()
    Path("far/style.safetensors").write_bytes(b"{}")
    result = run("-p", "a face", "--grid", "seed=1,2", "--lora", "far/style:0.5")
    assert result.exit_code == 0, result.output
    assert [call.picture.prompt for call in engine.calls] == ["a face<lora:style:0.5>"] * 2
    assert [dict(call.picture.lora_files) for call in engine.calls] == [
        {"style": Path("far/style.safetensors").absolute()}
    ] * 2
