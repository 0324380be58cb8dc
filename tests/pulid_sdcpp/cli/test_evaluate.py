from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_evaluation import (
    ColorExtractor,
    ColorJudge,
    DrawingEngine,
    write_model_files,
    write_portraits,
)
from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands import evaluate as evaluate_module
from pulid_sdcpp.cli.commands.evaluate import evaluate
from pulid_sdcpp.cli.commands.generate import generate
from pulid_sdcpp.cli.flags.generate import option_names
from pulid_sdcpp.engine import factory
from pulid_sdcpp.evaluation import evaluate as evaluation_module
from pulid_sdcpp.evaluation.options import EvaluationOptions, EvaluationPrompt, Reference
from pulid_sdcpp.evaluation.pocket_prompts import pocket_prompts
from pulid_sdcpp.extraction import extractor as extractor_module
from pulid_sdcpp.pocket.pack import PocketFiles
from pulid_sdcpp.request import find_preset
from pulid_sdcpp.store.model_store import PresetFiles

MODEL = [
    "--diffusion-model", "flux", "--taesd", "tae", "--clip_l", "clip", "--pulid-weights", "pulid",
    "-W", "64", "-H", "64", "--steps", "4",
]  # fmt: skip


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DrawingEngine:
    fake = DrawingEngine()
    monkeypatch.setattr(factory, "load_engine", fake.create)
    monkeypatch.setattr(extractor_module, "load_extractor", ColorExtractor)
    monkeypatch.setattr(extractor_module, "load_judge", ColorJudge)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    write_model_files(Path("models"))
    Path("pulid").write_text("PuLID's")
    Path("people").mkdir()
    write_portraits(Path("people"), ann="red", bob="lime")
    write_portraits(Path(), cyd="blue")
    Path("people", "notes.txt").touch()
    Path("judge.onnx").touch()
    Path("reader.onnx").touch()
    return fake


def run(*arguments: str, model: list[str] = MODEL) -> Result:
    return CliRunner().invoke(main, ["evaluate", *arguments, *model])


def figures(result: Result) -> dict[str, list[str]]:
    """The table's lines: words after the heading."""
    assert result.exit_code == 0, result.output
    lines = result.stdout.split("saved ")[0].splitlines()
    return {line[:17].strip(): line[17:].split() for line in lines if "note:" not in line}


def test_a_folder_of_portraits_may_have_every_kind_of_photo(tmp_path: Path) -> None:
    from pulid_sdcpp.cli.commands.evaluate import _pictures

    for name in ("a.heic", "b.JPG", "c.avif", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in _pictures([tmp_path])] == ["a.heic", "b.JPG", "c.avif"]


def test_files_and_folders_of_portraits_are_evaluated(engine: DrawingEngine) -> None:
    result = run(
        "people", "cyd.png", "-p", "navy wall", "-p", "gold wall", "-s", "1", "-s", "2",
        "--judge", "judge.onnx", "--id-weights", "0,0.5", "-o", "out",
    )  # fmt: skip
    table = figures(result)
    assert table["id_weight"] == ["1", "0", "0.5", "without"]
    assert table["no face"] == ["0/12", "0/12", "0/12", "0/4"]
    assert table["judge"] == ["1.000", "0.000", "1.000"]
    assert table["judge AUC"] == ["1.0000", "0.5000", "1.0000"]
    assert table["difference"] == ["0.00", "0.00", "0.00"]
    assert "note: no attribute reader" in result.stdout
    assert "saved out" in result.stdout
    assert "picture 40/40" in result.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "plot.png", "results.csv", "summary.json",
    ]  # fmt: skip
    with Path("out", "results.csv").open(newline="") as file:
        people = [row["reference"] for row in csv.DictReader(file)]
    assert list(dict.fromkeys(people)) == ["", "ann", "bob", "cyd"]


def test_options_reach_engine_extractor_and_judge(
    engine: DrawingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def create_judge(**options: Any) -> ColorJudge:
        made.append(options)
        return ColorJudge(**options)

    monkeypatch.setattr(extractor_module, "load_judge", create_judge)
    write_model_files(Path("m"))
    result = run(
        "cyd.png", "-p", "navy wall", "--pulid-id-weight", "0.7", "--id-start-step", "1",
        "--start-steps", "2,3", "--cfg_scale", "2", "--models-dir", "m", "--device", "cpu",
        "--judge", "judge.onnx", "--attributes", "reader.onnx", "--quiet",
    )  # fmt: skip
    assert (result.exit_code, result.output) == (0, "")
    assert made == [
        {
            "models_dir": Path("m"),
            "judges": (Path("judge.onnx"),),
            "attributes": Path("reader.onnx"),
            "device": "cpu",
        }
    ]
    assert engine.context is not None
    assert engine.context.vae_decode_only
    starts = [call.person.start_step for call in engine.calls[1:]]
    assert (starts, engine.calls[1].person.weight) == ([1, 2, 3], 0.7)
    assert {call.picture.cfg_scale for call in engine.calls} == {2.0}


def test_a_preset_names_the_model_the_settings_and_the_extractors_files(
    engine: DrawingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = {"diffusion_model_path": "flux", "taesd_path": "t", "clip_l_path": "c",
               "pulid_weights": Path("pulid")}  # fmt: skip
    files = {"pulid_weights": Path("pulid"), "detector": Path("d"), "recogniser": Path("r"),
             "eva": Path("e"), "parsing": Path("b")}  # fmt: skip
    preset = PresetFiles("mine", {"steps": 3, "width": 64, "height": 64}, context, files)
    looked: list[Any] = []

    def find(name: str, folders: Any, given: Any, **_: Any) -> PresetFiles:
        looked.append((name, list(folders)))
        return preset

    made: list[dict[str, Any]] = []
    monkeypatch.setattr(find_preset, "find_preset", find)
    monkeypatch.setattr(
        extractor_module, "load_judge", lambda **o: made.append(o) or ColorJudge(**o)
    )
    for path in (Path("d"), Path("r"), Path("e"), Path("b")):
        path.write_text(path.name)
    result = run("cyd.png", "-p", "navy wall", "--preset", "mine", "--models-dir", "m", model=[])
    assert result.exit_code == 0, result.output
    assert looked == [("mine", [Path("m")])]
    assert (made[0]["detector"], made[0]["recogniser"]) == (Path("d"), Path("r"))
    assert "models_dir" not in made[0]
    assert {call.picture.steps for call in engine.calls} == {3}


def test_a_preset_without_what_photos_need_and_two_models_are_refused(
    engine: DrawingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = {"diffusion_model_path": "flux", "taesd_path": "t", "clip_l_path": "c"}
    preset = PresetFiles("mine", {}, context, {}, "missing model files: det.onnx")
    monkeypatch.setattr(find_preset, "find_preset", lambda *_, **__: preset)
    result = run("cyd.png", "-p", "navy", "--preset", "mine", model=[])
    assert (result.exit_code, result.stderr) == (1, "error: missing model files: det.onnx\n")
    result = run("--pocket", "--preset", "mine", model=[])
    assert result.exit_code == 2
    assert "--pocket and --preset 'mine' exclude each other" in result.stderr


def test_identity_files_and_prompts_of_a_file(engine: DrawingEngine) -> None:
    ColorExtractor().extract(Path("cyd.png")).save("cyd.pulidembd")
    Path("p.jsonl").write_text('{"text": "teal", "attributes": {"background": "gold"}}\n')
    arguments = ["--identity", "cyd.pulidembd", "cyd.png", "--prompts", "p.jsonl"]
    table = figures(run(*arguments, "--attributes", "reader.onnx", "-p", "navy"))
    assert [call.picture.prompt for call in engine.calls] == ["navy", "teal"] * 2
    assert table["background"] == ["0.000", "0.000"]  # teal is not gold
    assert Path("evaluation", "summary.json").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["cyd.png"], 2, "no prompt is given"),
        (["-p", "navy"], 2, "no person is given"),
        (["absent.png", "-p", "navy"], 1, "absent.png: no such file"),
        (["empty", "-p", "navy"], 2, "the folder empty has no pictures"),
        (["cyd.png", "-p", "navy", "--id-weights", "a"], 2, "not a list of numbers"),
        (["cyd.png", "-p", "navy", "--start-steps", "0.5"], 2, "not a list of numbers"),
        (["cyd.png", "-p", "navy", "--id-weights", "9"], 2, "--id-weights is 9"),
        (["cyd.png", "-p", "navy", "-o", "a/b"], 1, "cannot make the folder"),
        (["judge.onnx", "-p", "navy"], 1, "expected a picture"),
        (["cyd.png", "-p", "navy", "-W", "65"], 2, "-W is 65"),
    ],
)
def test_what_cannot_work_is_refused_first(
    engine: DrawingEngine, arguments: list[str], status: int, words: str
) -> None:
    Path("empty").mkdir()
    result = run(*arguments, model=MODEL[:8] if "-W" in arguments else MODEL)
    assert (result.exit_code, words in result.stderr) == (status, True), result.stderr
    assert not engine.calls


def test_without_pulid_weights_there_is_nothing_to_evaluate(engine: DrawingEngine) -> None:
    result = run("cyd.png", "-p", "navy", model=MODEL[:6])
    assert result.exit_code == 2
    assert "--pulid-weights" in result.stderr


def test_interrupted_it_says_what_it_wrote(
    engine: DrawingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = DrawingEngine(fail_at=3, failure=KeyboardInterrupt())
    monkeypatch.setattr(factory, "load_engine", stopping.create)
    result = run("people", "-p", "navy", "-o", "out")
    assert result.exit_code == 130
    assert "out: the results of 2 of 3 pictures" in result.stderr
    assert json.loads(Path("out", "summary.json").read_text())["complete"] is False


def test_options_are_those_of_generate() -> None:
    theirs = {option.name: option for option in generate.params}
    ours = {option.name: option for option in evaluate.params}
    for name in {"preset", "vram", "quiet", *option_names(lambda fact: fact.evaluate)} - {
        "vae_decode_only"
    }:
        assert ours[name] is theirs[name] or ours[name].to_info_dict() == (
            theirs[name].to_info_dict()
        ), name
    # Of the facts, batches, pictures to start from and the like are not for an evaluation; people,
    # files and where pictures go it names in its own way.
    assert not option_names(lambda fact: not fact.evaluate) & ours.keys()
    assert {"preset", "models_dir", "output", "overwrite", "portraits"} <= ours.keys()


def test_the_results_of_an_earlier_evaluation_are_kept(engine: DrawingEngine) -> None:
    arguments = ["cyd.png", "-p", "navy wall", "-o", "out", "--keep-pictures"]
    assert run(*arguments).exit_code == 0
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    assert len(before) == 6
    made = len(engine.calls)
    for kept in before:  # each of them alone is enough
        others = [path for path in before if path != kept]
        for path in others:
            path.unlink()
        result = run(*arguments)
        assert result.exit_code == 1
        assert f"cannot write {kept}: it exists; name another file" in result.stderr
        assert "--overwrite" in result.stderr
        for path in others:
            path.write_bytes(before[path])
    assert len(engine.calls) == made
    assert {path: path.read_bytes() for path in before} == before
    assert run(*arguments, "--overwrite").exit_code == 0
    assert len(engine.calls) == 2 * made


def test_a_portrait_is_not_replaced_by_a_result(engine: DrawingEngine) -> None:
    Path("out").mkdir()
    portrait = Path("out", "plot.png")
    portrait.write_bytes(Path("cyd.png").read_bytes())
    result = run(str(portrait), "-p", "navy wall", "-o", "out", "--overwrite")
    assert result.exit_code == 2
    assert f"the output {portrait} is a file that is read" in result.stderr
    assert portrait.read_bytes() == Path("cyd.png").read_bytes()


def test_a_file_that_came_while_it_was_evaluated_is_kept(
    engine: DrawingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LateJudge(ColorJudge):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            for name in ("results.csv", "summary.json", "plot.png"):
                Path("out", name).write_text("mine")

    monkeypatch.setattr(extractor_module, "load_judge", LateJudge)
    assert run("cyd.png", "-p", "navy wall", "-o", "out").exit_code == 0
    names = ("results", "summary", "plot")
    assert sorted(path.stem for path in Path("out").iterdir()) == sorted(
        [*names, *(f"{name}-2" for name in names)]
    )
    assert Path("out", "results.csv").read_text() == "mine"


def test_defaults_are_those_of_the_options() -> None:
    defaults = EvaluationOptions((Reference("a.png"),), (EvaluationPrompt("a"),))
    context = evaluate.make_context("evaluate", ["-p", "a"])
    for name in evaluate_module._EVALUATION_FIELDS:
        assert context.params[name] == getattr(defaults, name), name


@pytest.fixture
def pocket(monkeypatch: pytest.MonkeyPatch, engine: DrawingEngine, tmp_path: Path) -> PocketFiles:
    names = ("diffusion_model", "pulid_weights", "taesd", "clip_l", "detector", "recogniser")
    files = PocketFiles(
        models_dir=tmp_path,
        **{name: tmp_path / name for name in names},
        judge=tmp_path / "judge.onnx",
        attributes=tmp_path / "reader.onnx",
        portraits=tuple(sorted(Path("people").glob("*.png"))),
        loras=tmp_path / "loras",
    )
    write_model_files(tmp_path)
    files.pulid_weights.write_text("PuLID's")
    monkeypatch.setattr("pulid_sdcpp.pocket.pack.pocket_files", lambda: files)
    # The pocket model's prompts begin with no colour, and its reader knows more than one thing.
    monkeypatch.setattr(engine, "background", "navy")
    monkeypatch.setattr(evaluation_module, "_check_attributes", lambda options, choices: None)
    return files


def test_the_pocket_model_needs_no_other_flags(engine: DrawingEngine, pocket: PocketFiles) -> None:
    result = run("--pocket", model=[])
    assert result.exit_code == 0, result.output
    n_prompts = len(pocket_prompts())
    assert len(engine.calls) == 3 * n_prompts
    names = ("width", "height", "steps", "scheduler")
    assert {tuple(getattr(call.picture, name) for name in names) for call in engine.calls} == {
        (128, 128, 4, "discrete")
    }
    assert engine.context is not None
    assert engine.context.diffusion_model_path == pocket.diffusion_model
    summary = json.loads(Path("evaluation", "summary.json").read_text())
    assert set(summary["by_reference"]) == {"ann", "bob"}
    assert summary["parameters"]["evaluation"]["judges"] == [str(pocket.judge)]


def test_what_is_given_goes_before_the_pocket_models_own(
    engine: DrawingEngine, pocket: PocketFiles
) -> None:
    arguments = ["--pocket", "cyd.png", "-p", "a person", "--steps", "8", "--diffusion-model", "q4"]
    result = run(*arguments, model=[])
    assert result.exit_code == 0, result.output
    assert [call.picture.prompt for call in engine.calls] == ["a person"] * 2
    assert engine.calls[0].picture.steps == 8
    assert engine.context is not None
    assert engine.context.diffusion_model_path == Path("q4")
