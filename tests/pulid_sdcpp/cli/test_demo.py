from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fake_engine import Call, FakeEngine
from pocket_packs import draft_pack, expand_with, standin_pack, write_small_gguf
from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands.demo import demo
from pulid_sdcpp.engine import factory
from pulid_sdcpp.errors import FaceNotFoundError, MissingDependencyError
from pulid_sdcpp.evaluation.demo import PROMPTS, DemoResult, run_demo
from pulid_sdcpp.extraction import extractor as extractor_module
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.pictures.png_text import parse_text, read_picture_text
from pulid_sdcpp.store.registry import pocket_settings

REAL_LOAD_JUDGE = extractor_module.load_judge
REAL_LOAD_EXTRACTOR = extractor_module.load_extractor
NOBODY = (90, 80, 70)
SIDE_PX = pocket_settings()["width"]
COLORS = {"ann": (200, 0, 0), "bob": (0, 200, 0), "cyd": (0, 0, 200)}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["demo", *arguments])


class PersonalEngine(FakeEngine):
    """Makes pictures of the identity's colour; brown ones of nobody. `faded`: without any."""

    faded = False

    def draw(self, call: Call) -> list[Image.Image]:
        color = NOBODY
        if call.people and not self.faded:
            tokens = call.identity.tokens
            color = tuple(int(value) for value in tokens[0, :3])
        return [Image.new("RGBA", (call.picture.width, call.picture.height), (*color, 255))]


class ColorExtractor:
    """Takes a portrait's colour for its identity; sees nobody on a white one."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def extract(self, photo: Path, **choice: Any) -> Identity:
        with Image.open(photo) as picture:
            color = picture.convert("RGB").getpixel((0, 0))
        if color == (255, 255, 255):
            raise FaceNotFoundError(f"{photo}: no face found")
        tokens = np.full((8, 256), 0.01, np.float32)  # mostly zeros are refused as damaged
        tokens[0, :3] = color
        return Identity.from_array(tokens)


class ColorJudge:
    """Takes a picture's colour, with a little grey, for its face; blue pictures have none."""

    created: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        ColorJudge.created = options

    def look(self, pixels: np.ndarray) -> Any:
        color = pixels[0, 0].astype(np.float32)
        if tuple(color) == COLORS["cyd"] and pixels.shape[0] == SIDE_PX:
            return None
        embeddings = {"judge": color + 20, "glintr100": np.zeros(3, np.float32)}
        return SimpleNamespace(embeddings=embeddings)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PersonalEngine:
    fake = PersonalEngine()
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(factory, "load_engine", fake.create)
    monkeypatch.setattr(extractor_module, "load_extractor", ColorExtractor)
    monkeypatch.setattr(extractor_module, "load_judge", ColorJudge)
    portraits = {name: Image.new("RGB", (192, 192), color) for name, color in COLORS.items()}
    monkeypatch.setattr(
        "pulid_sdcpp.pocket.pack.PACK_FOLDER", draft_pack(tmp_path / "pack", portraits)
    )
    expand_with(monkeypatch, write_small_gguf)
    monkeypatch.chdir(tmp_path)
    portraits["ann"].save("mine.png")
    Image.new("RGB", (192, 192), "white").save("wall.png")
    return fake


def test_the_sheet_has_a_row_per_person_and_a_column_per_prompt(engine: PersonalEngine) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "saved demo.png" in result.stdout
    assert "picture 20/20" in result.stderr
    with Image.open("demo.png") as picture:
        found = np.asarray(picture)
    rows = [*COLORS.values(), NOBODY]
    starts = []
    for color in rows:
        ys, xs = np.nonzero((found == color).all(axis=-1))
        starts.append(int(ys.min()))
        # The reference and five pictures, 192 pixels wide each; nobody has no reference.
        n_pictures = len(PROMPTS) + (color != NOBODY)
        assert len(np.unique(xs)) == 192 * n_pictures
        assert len(np.unique(ys)) == 192
    assert starts == sorted(starts)


def test_a_column_differs_by_the_person_only(engine: PersonalEngine) -> None:
    assert run("--seed", "7").exit_code == 0
    n = len(PROMPTS)
    assert len(engine.calls) == 4 * n
    assert [len(call.people) for call in engine.calls] == [1] * 3 * n + [0] * n
    for index, call in enumerate(engine.calls):
        assert call.picture == engine.calls[index % n].picture
    assert [call.picture.prompt for call in engine.calls[:n]] == list(PROMPTS)
    assert [call.picture.seed for call in engine.calls[:n]] == [7, 8, 9, 10, 11]
    first = engine.calls[0]
    assert (first.picture.width, first.picture.height, first.picture.steps) == (128, 128, 4)
    assert (first.picture.cfg_scale, first.picture.sampling_method) == (1.0, "euler")
    assert first.person.weight == 1.0


def test_all_files_come_from_the_pack_and_the_judge_is_another_recogniser(
    engine: PersonalEngine, tmp_path: Path
) -> None:
    assert run().exit_code == 0
    pack = tmp_path / "pack"
    assert engine.context is not None
    assert engine.context.diffusion_model_path == pack / "flux1-schnell-pocket.gguf"
    assert engine.context.pulid_weights == pack / "pulid_flux_v0.9.1.safetensors"
    assert engine.context.taesd_path == pack / "taef1.safetensors"
    assert Path(str(engine.context.clip_l_path)).is_relative_to(tmp_path / "cache")
    assert ColorJudge.created == {"models_dir": pack, "judges": [pack / "judge.onnx"]}
    assert engine.closed == 1


def test_likeness_is_the_judges_cosine_and_no_face_counts_as_none(
    engine: PersonalEngine,
) -> None:
    likeness = run_with_fakes().likeness
    assert likeness.shape == (3, len(PROMPTS))
    np.testing.assert_allclose(likeness[:2], 1.0)
    assert np.isnan(likeness[2]).all()
    result = run()
    assert "mean likeness 0.667" in result.stdout  # (1 + 1 + 0) / 3
    a, b, c = (np.array(color) + 20.0 for color in COLORS.values())
    to_others = [cosine(a, b), cosine(a, c), cosine(b, a), cosine(b, c), 0, 0]
    assert f"portraits: {np.mean(to_others):.3f}" in result.stdout


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def run_with_fakes(**changes: Any) -> DemoResult:
    makers = {
        "create_extractor": ColorExtractor,
        "create_engine": factory.load_engine,
        "create_judge": ColorJudge,
    }
    return run_demo(Path("demo.png"), **{**makers, **changes})


def test_portraits_of_ones_own_are_taken_instead(engine: PersonalEngine) -> None:
    result = run("--portrait", "mine.png", "--portrait", "pack/portraits/bob.png")
    assert result.exit_code == 0, result.output
    assert len(engine.calls) == 3 * len(PROMPTS)
    one = run("--portrait", "mine.png")
    assert one.exit_code == 0
    assert "other people" not in one.stdout


def test_who_was_extracted_before_is_found(
    engine: PersonalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("-o", "a.png").exit_code == 0

    def refuse(**options: Any) -> None:
        raise AssertionError("loaded again")

    monkeypatch.setattr(extractor_module, "load_extractor", refuse)
    assert run("-o", "b.png").exit_code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_the_same_seed_gives_the_same_bytes(engine: PersonalEngine) -> None:
    for name in ("a.png", "b.png"):
        assert run("-o", name).exit_code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_nothing_is_replaced_unless_told(engine: PersonalEngine) -> None:
    assert "saved demo.png" in run().stdout
    first = Path("demo.png").read_bytes()
    assert "saved demo-2.png" in run("--seed", "7").stdout
    assert Path("demo.png").read_bytes() == first
    assert "saved demo.png" in run("--seed", "7", "--overwrite").stdout
    assert Path("demo.png").read_bytes() == Path("demo-2.png").read_bytes() != first
    assert not Path("demo-3.png").exists()


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_a_portrait_is_never_replaced(engine: PersonalEngine, flags: list[str]) -> None:
    before = Path("mine.png").read_bytes()
    result = run("--portrait", "mine.png", "-o", "./mine.png", *flags)
    assert result.exit_code == 2
    assert "the output mine.png is a file that is read; name another file" in result.stderr
    assert (engine.calls, Path("mine.png").read_bytes()) == ([], before)


def test_the_picture_says_how_it_was_made(engine: PersonalEngine) -> None:
    assert run("--seed", "7").exit_code == 0
    text = parse_text(str(read_picture_text("demo.png")))
    assert text.prompt.splitlines() == list(PROMPTS)
    assert text.values["Seed"] == "7"
    assert text.values["Model"] == "flux1-schnell-pocket"
    assert text.values["Contact sheet"] == "demo"  # so it is not taken for one picture


def test_an_identity_that_changes_nothing_is_an_error(engine: PersonalEngine) -> None:
    engine.faded = True
    result = run()
    assert result.exit_code == 1
    assert "did not apply it" in result.stderr
    assert "ann.png" in result.stderr
    assert not Path("demo.png").exists()


def test_a_portrait_without_a_face_is_told_what_the_model_knows(engine: PersonalEngine) -> None:
    result = run("--portrait", "mine.png", "--portrait", "wall.png")
    assert result.exit_code == 1
    assert "wall.png: no face found; the pocket model can read only drawn" in result.stderr
    assert "published weights" in result.stderr
    assert not engine.calls


def test_a_portrait_that_only_the_judge_does_not_see_is_refused_too(
    engine: PersonalEngine,
) -> None:
    Image.new("RGB", (SIDE_PX, SIDE_PX), COLORS["cyd"]).save("blue.png")
    result = run("--portrait", "blue.png")
    assert result.exit_code == 1
    assert "blue.png: no face to compare with; the pocket model can read" in result.stderr
    assert not engine.calls


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--portrait", "absent.png"], 1, "absent.png"),
        (["-o", "me.txt/a.png"], 1, "me.txt is a file, not a folder"),
        (["-o", "a.xyz"], 2, ".xyz is not a picture format"),
        (["--seed", "-1"], 2, "-1"),
        (["--seed", str(2**63 - 3)], 2, "must be 0 to"),
        (["--pack", "absent"], 1, "the pocket model is not there; reinstall"),
    ],
)
def test_what_cannot_work_is_refused_first(
    engine: PersonalEngine, arguments: list[str], status: int, words: str
) -> None:
    Path("me.txt").touch()
    result = run(*arguments)
    assert result.exit_code == status
    assert words in result.stderr
    assert not engine.calls
    assert not Path("demo.png").exists()


def test_a_pack_without_portraits_needs_some(engine: PersonalEngine, tmp_path: Path) -> None:
    bare = draft_pack(tmp_path / "bare", {})
    result = run("--pack", str(bare))
    assert result.exit_code == 1
    assert "--portrait" in result.stderr
    assert run("--pack", str(bare), "--portrait", "mine.png").exit_code == 0


def test_without_the_extra_the_error_says_what_to_install(
    engine: PersonalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str, extra: str = "extract") -> None:
        raise MissingDependencyError(f'{name} is not installed; pip install "pulid-sdcpp[{extra}]"')

    monkeypatch.setattr("pulid_extractor.dependencies.require_module", absent)
    monkeypatch.setattr(extractor_module, "load_judge", REAL_LOAD_JUDGE)
    monkeypatch.setattr(extractor_module, "load_extractor", REAL_LOAD_EXTRACTOR)
    result = run()
    assert result.exit_code == 1
    assert "pulid-sdcpp[extract]" in result.stderr
    assert not engine.calls


@pytest.mark.parametrize("flags", [["--open"], ["--no-open"], []])
def test_the_picture_is_opened_when_asked_for(
    engine: PersonalEngine, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", lambda url: opened.append(url) or 0)
    assert run(*flags).exit_code == 0
    assert opened == (["demo.png"] if flags == ["--open"] else [])


def test_a_picture_that_nothing_opens_is_still_there(
    engine: PersonalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click, "launch", lambda url: 127)
    result = run("--open")
    assert result.exit_code == 0
    assert "found no program to open demo.png" in result.stderr
    assert Path("demo.png").is_file()


def test_defaults_of_the_command_are_those_of_the_function() -> None:
    (seed,) = (parameter for parameter in demo.params if parameter.name == "seed")
    assert seed.default == inspect.signature(run_demo).parameters["seed"].default


@pytest.mark.engine
@pytest.mark.extract
def test_the_whole_way_works_with_any_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stand-ins: noise, but every part runs and the identity has its effect."""
    skimage_data = pytest.importorskip("skimage.data")
    pytest.importorskip("torch")
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pulid_sdcpp.evaluation.demo.PROMPTS", PROMPTS[:2])
    expand_with(monkeypatch)
    astronaut = Image.fromarray(skimage_data.astronaut())
    pack = standin_pack(tmp_path / "pack", {"astronaut": astronaut})
    output = tmp_path / "demo.png"
    result = run("--pack", str(pack), "-o", str(output))
    assert result.exit_code == 0, result.output
    assert f"saved {output}" in result.stdout
    with Image.open(output) as picture:
        width, height = picture.size
        assert 3 * 192 < width < 4 * 192 + 192  # a portrait, a picture for each prompt
        assert 2 * 192 < height < 3 * 192 + 192
