"""Evaluations of models whose every figure is known."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from fake_engine import Call
from fake_evaluation import (
    SIDE_PX,
    ColorExtractor,
    ColorJudge,
    DrawingEngine,
    write_model_files,
    write_portraits,
)
from pulid_sdcpp import (
    ContextOptions,
    EvaluationOptions,
    EvaluationPrompt,
    EvaluationResult,
    FaceNotFoundError,
    GenerationCancelled,
    GenerationError,
    GenerationOptions,
    Identity,
    IdentityOptions,
    OutputFileError,
    PulidFlux,
    Reference,
    evaluate,
    recipe_from,
)
from pulid_sdcpp.evaluation import plot
from pulid_sdcpp.evaluation.plan import Setting
from pulid_sdcpp.identity.further_identities import further_path
from pulid_sdcpp.memory.plan import Plan
from pulid_sdcpp.pictures.chart import Panel
from pulid_sdcpp.pictures.png_text import parse_text, read_picture_text
from pulid_sdcpp.pipeline import loaded_model

CONTEXT = ContextOptions(
    diffusion_model_path="flux", taesd_path="tae", clip_l_path="clip", pulid_weights="pulid"
)
GENERATION = GenerationOptions("", width=SIDE_PX, height=SIDE_PX, steps=4)
PROMPTS = (
    EvaluationPrompt("navy wall", {"background": "navy"}),
    EvaluationPrompt("gold wall", {"background": "gold"}),
)
PEOPLE = {"ann": "red", "bob": "lime", "cyd": "blue"}


class World:
    """The parts of an evaluation, and what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = DrawingEngine()
        self.extractors: list[ColorExtractor] = []
        self.portraits = write_portraits(folder, **PEOPLE)
        self.said: list[str] = []
        self.progress: list[tuple[int, int]] = []

    def create_extractor(self, **options: Any) -> ColorExtractor:
        self.extractors.append(ColorExtractor(**options))
        return self.extractors[-1]

    def evaluate(
        self,
        *,
        identity: IdentityOptions | None = None,
        context: ContextOptions = CONTEXT,
        generation: GenerationOptions = GENERATION,
        vram: float | None = None,
        **changed: Any,
    ) -> EvaluationResult:
        given = {
            "references": tuple(map(Reference, self.portraits)),
            "prompts": PROMPTS,
            "output": self.folder / "out",
            "judges": ("judge.onnx",),
            "attributes": "reader.onnx",
            **changed,
        }
        return evaluate(
            EvaluationOptions(**given),
            context,
            generation,
            identity,
            create_extractor=self.create_extractor,
            create_judge=ColorJudge,
            create_engine=self.engine.create,
            vram=vram,
            say=self.said.append,
            progress_callback=lambda *count: self.progress.append(count),
        )

    def rows(self) -> list[dict[str, str]]:
        with (self.folder / "out" / "results.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def summary(self) -> Any:
        return json.loads((self.folder / "out" / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    write_model_files(Path("models"))
    Path("pulid").write_text("PuLID's")
    return World(tmp_path)


def test_a_perfect_model_has_perfect_figures(world: World) -> None:
    result = world.evaluate()
    scores = result.scores
    assert (scores.n_pictures, scores.n_without_face) == (6, 0)
    for name in ("extraction", "judge"):
        found = scores.similarity[name]
        assert found.mean == pytest.approx(1, abs=1e-6)
        assert (found.auc, found.top_1) == (1, 1)
    # Red, lime and blue as seen from grey: (127, -128, -128) and so on.
    a, b = np.array([127, -128, -128]), np.array([-128, 127, -128])
    expected = a @ b / (a @ a)
    assert scores.similarity["judge"].random_mean == pytest.approx(expected, abs=1e-6)
    assert scores.purity is not None
    assert (scores.purity.n_pictures, scores.purity.mean_difference) == (6, 0)
    assert scores.purity.ssim == pytest.approx(1)
    assert scores.purity.clip_i == pytest.approx(1)
    assert (scores.adherence["background"].share, scores.adherence["background"].n_pictures) == (
        1,
        6,
    )
    assert (result.nobody.n_pictures, result.nobody.adherence["background"].share) == (2, 1)
    assert (result.nobody.purity, result.nobody.similarity) == (None, {})
    assert [each.n_pictures for each in result.by_prompt] == [3, 3]
    assert {name: each.n_pictures for name, each in result.by_reference.items()} == dict.fromkeys(
        PEOPLE, 2
    )
    assert (result.complete, result.notes) == (True, ())
    assert world.progress == [(number, 8) for number in range(1, 9)]


def test_what_spills_into_the_background_is_measured_there(world: World) -> None:
    world.engine = DrawingEngine(spill=6)
    result = world.evaluate(prompts=PROMPTS[:1])
    purity = result.scores.purity
    assert purity is not None
    assert purity.mean_difference == pytest.approx(6)
    assert purity.ssim is not None
    assert purity.ssim < 1
    navy = np.array(ImageColor.getrgb("navy"), np.float64)
    expected = navy @ (navy + 6) / np.linalg.norm(navy) / np.linalg.norm(navy + 6)
    assert purity.clip_i == pytest.approx(expected, abs=1e-6)


def test_likeness_that_grows_with_the_weight_is_seen_to_grow(world: World) -> None:
    Image.new("RGB", (80, 80), (200, 128, 60)).save(world.portraits[0])
    result = world.evaluate(id_weights=(0.0, 0.5, 1.0), start_steps=(0, 3))
    assert list(result.settings) == [
        Setting(1.0, 0), Setting(0.0, 0), Setting(0.5, 0), Setting(1.0, 3),
    ]  # fmt: skip
    off = result.settings[Setting(0.0, 0)]
    assert off.similarity["judge"].mean == 0  # grey is like nobody
    assert off.similarity["judge"].top_1 == 0
    assert off.purity is not None
    assert off.purity.mean_difference == 0
    assert result.settings[Setting(0.5, 0)].similarity["judge"].mean == pytest.approx(1, abs=1e-3)
    # What has no effect is not computed again: nobody's 2, and 3 settings of 3 people.
    assert len(world.engine.calls) == 2 + 3 * 2 * 3
    sweep = [(each["id_weight"], each["start_step"]) for each in world.summary()["settings"]]
    assert sweep == [(1, 0), (0, 0), (0.5, 0), (1, 3)]


def test_steps_are_counted_among_those_that_are_made(world: World) -> None:
    """Six, by their levels, and not the four asked for: step 5 is there, and step 6 is not."""
    generation = replace(GENERATION, sigmas=(1.0, 0.9, 0.7, 0.5, 0.3, 0.1, 0.0))
    made = world.evaluate(generation=generation, start_steps=(5,)).settings[Setting(1.0, 5)]
    assert made.similarity["judge"].mean == pytest.approx(1, abs=1e-6)
    assert len(world.engine.calls) == 2 + 2 * 2 * 3


@pytest.mark.parametrize(
    "asked",
    [
        {"start_steps": (5, 6)},
        {"identity": IdentityOptions(start_step=6)},
        {"start_steps": (3,), "identity": IdentityOptions(end_step=3)},
    ],
)
def test_a_person_in_no_step_is_refused_before_there_is_work(
    world: World, asked: dict[str, Any]
) -> None:
    generation = replace(GENERATION, sigmas=(1.0, 0.9, 0.7, 0.5, 0.3, 0.1, 0.0))
    with pytest.raises(ValueError, match="start step"):
        world.evaluate(generation=generation, **asked)
    assert not world.engine.calls


def test_nobody_comes_first_and_all_pictures_share_their_noise(world: World) -> None:
    world.evaluate(seeds=(5, 6), identity=IdentityOptions(weight=0.8, start_step=1, end_step=3))
    calls = world.engine.calls
    assert [not call.people for call in calls] == [True] * 4 + [False] * 12
    assert [call.picture.seed for call in calls] == [5, 6] * 8
    assert [call.picture.prompt for call in calls] == ["navy wall"] * 2 + ["gold wall"] * 2 + (
        ["navy wall", "navy wall", "gold wall", "gold wall"] * 3
    )
    with_identity = calls[4:]
    assert {call.person.weight for call in with_identity} == {0.8}
    assert {call.person.start_step for call in with_identity} == {1}
    assert {call.person.end_step for call in with_identity} == {3}


@pytest.mark.parametrize(
    ("cfg_scale", "given", "start"), [(1.0, None, None), (2.0, None, 1), (2.0, 0, 0), (2.0, 3, 3)]
)
def test_true_cfg_starts_at_the_same_step_with_and_without_identity(
    world: World, cfg_scale: float, given: int | None, start: int | None
) -> None:
    generation = replace(GENERATION, cfg_scale=cfg_scale)
    world.evaluate(identity=IdentityOptions(cfg_start_step=given), generation=generation)
    assert {call.cfg_start_step for call in world.engine.calls} == {start}
    assert len(world.engine.calls) == 8


def test_a_result_without_a_face_counts_as_likeness_zero(world: World) -> None:
    Image.new("RGB", (80, 80), (1, 0, 0)).save(world.portraits[0])

    class DarkEngine(DrawingEngine):
        def draw(self, call: Call) -> list[Image.Image]:
            (image,) = super().draw(call)
            if call.people and call.identity.tokens[0, 0] == 1:
                image.paste("black", (16, 16, 48, 48))
            return [image]

    world.engine = DarkEngine()
    result = world.evaluate(prompts=PROMPTS[:1])
    assert (result.scores.n_pictures, result.scores.n_without_face) == (3, 1)
    assert result.scores.similarity["judge"].mean == pytest.approx(2 / 3, abs=1e-6)
    assert result.by_reference["ann"].similarity["judge"].mean == 0
    row = next(row for row in world.rows() if row["reference"] == "ann")
    assert (row["face_found"], row["face_score"], row["similarity_judge"]) == ("no", "", "0")
    assert row["most_alike_judge"] == ""
    # Nobody's head is known all the same, so the rest of the picture is compared.
    assert (row["outside"], row["mean_difference"]) == ("0.75", "0")


def test_there_is_a_row_for_every_picture(world: World) -> None:
    world.evaluate(id_weights=(0.5,))
    rows = world.rows()
    assert len(rows) == 2 + 3 * 2 * 2
    assert rows[0] == {
        "reference": "", "id_weight": "", "start_step": "", "prompt": "0", "seed": "42",
        "face_found": "yes", "face_score": "0.9", "similarity_extraction": "",
        "similarity_judge": "", "most_alike_extraction": "ann", "most_alike_judge": "ann",
        "outside": "", "mean_difference": "", "ssim": "", "clip_i": "",
        "asked_background": "navy", "read_background": "navy", "file": "", "text": "navy wall",
    }  # fmt: skip
    last = rows[-1]
    assert (last["reference"], last["id_weight"], last["prompt"]) == ("cyd", "0.5", "1")
    assert (last["most_alike_judge"], last["outside"], last["ssim"]) == ("cyd", "0.75", "1")


def test_the_summary_says_what_was_measured_and_how(world: World) -> None:
    result = world.evaluate()
    summary = world.summary()
    assert summary["complete"] is True
    assert summary["own"]["similarity"]["judge"]["mean"] == pytest.approx(
        result.scores.similarity["judge"].mean, abs=1e-5
    )
    assert summary["own"] == {
        key: value
        for key, value in summary["settings"][0].items()
        if key not in ("id_weight", "start_step")
    }
    parameters = summary["parameters"]
    assert parameters["evaluation"]["seeds"] == [42]
    assert parameters["evaluation"]["prompts"][0] == {
        "text": "navy wall",
        "attributes": {"background": "navy"},
    }
    assert (parameters["context"]["diffusion_model_path"], parameters["generation"]["steps"]) == (
        "flux",
        4,
    )
    assert parameters["generation"]["scheduler"] == "flux"
    assert {"python", "numpy", "pillow"} <= summary["versions"].keys()
    with Image.open(world.folder / "out" / "plot.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 5


def test_the_charts_show_what_was_measured_with_the_prompts_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[Panel]] = []
    draw = plot.draw_panels

    def keep(rows: list[list[Panel]]) -> Image.Image:
        drawn.extend(rows)
        return draw(rows)

    monkeypatch.setattr(plot, "draw_panels", keep)
    world.evaluate(id_weights=(0.0, 0.5), prompts=[EvaluationPrompt(p.text) for p in PROMPTS])
    own, sweep = drawn
    assert [panel.title for panel in own] == [
        "likeness of pairs, by judge",
        "unchanged outside the head, by prompt",
    ]
    assert own[1].labels == ["navy wall", "gold wall"]
    assert [sum(values) for values in own[0].series.values()] == [1, 1]  # shares
    assert [panel.x_title for panel in sweep] == ["identity weight"] * 2
    assert sweep[0].labels == ["0", "0.5", "1"]


def test_pictures_are_kept_with_what_made_them(world: World) -> None:
    result = world.evaluate(keep_pictures=True, id_weights=(0.5,))
    folder = world.folder / "out"
    files = {picture.file for picture in result.pictures}
    assert len(files) == len(result.pictures)
    assert {path.name for path in (folder / "pictures").iterdir()} == {
        Path(file or "").name for file in files
    }
    text = parse_text(read_picture_text(folder / "pictures" / "001-bob-w0.5-t0-p1-s42.png") or "")
    assert (text.prompt, text.values["Seed"]) == ("gold wall", "42")
    assert text.values["PuLID weight"] == "0.5"
    with Image.open(folder / "contact_sheet.png") as sheet:
        found = np.asarray(sheet.convert("RGB"))
    # Bob's rows: his portrait once, and his face on two pictures of another size; then the sweep.
    assert (found == ImageColor.getrgb("lime")).all(axis=-1).sum() > 3 * 50 * 50
    of_half = (round(0.5 * 128), round(0.5 * 128 + 0.5 * 255), round(0.5 * 128))
    assert (found == of_half).all(axis=-1).sum() > 2 * 50 * 50


def test_identity_files_need_no_extractor(world: World) -> None:
    references = []
    for portrait in world.portraits:
        path = portrait.with_suffix(".pulidembd")
        ColorExtractor().extract(portrait).save(path)
        references.append(Reference(portrait, path))
    result = world.evaluate(references=tuple(references))
    assert result.scores.similarity["judge"].mean == pytest.approx(1, abs=1e-3)
    assert world.extractors == []


def test_the_extractor_is_asked_for_the_engines_weights(world: World) -> None:
    world.evaluate(device="cpu")
    (extractor,) = world.extractors
    assert extractor.options == {
        "models_dir": Path("models"),
        "pulid_weights": "pulid",
        "aligner": "insightface",
        "device": "cpu",
        "dtype": "auto",
    }


def test_who_was_extracted_before_is_found_and_is_who_the_pipeline_would_make(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounded to float16, as whoever uses the model gets them."""
    fine = Identity.from_array(np.full((1, 3), 1 / 3, np.float32), np.ones((1, 3), np.float32))
    monkeypatch.setattr(ColorExtractor, "extract", lambda self, photo, **choice: fine)
    with PulidFlux(
        CONTEXT,
        extractor={"models_dir": "models", "pulid_weights": "pulid"},
        create_extractor=world.create_extractor,
    ) as pipeline:
        alone = pipeline.enroll(world.portraits[0])
    assert len(world.extractors) == 1
    assert alone.tokens[0, 0] == np.float32(np.float16(1 / 3)) != fine.tokens[0, 0]
    world.evaluate(references=(Reference(world.portraits[0]),))
    assert len(world.extractors) == 1
    assert not [line for line in world.said if "extracting" in line]
    (numbers,) = {call.identity.tokens.tobytes() for call in world.engine.calls if call.people}
    assert numbers == alone.tokens.tobytes()


def test_a_kept_picture_can_be_made_again(world: World) -> None:
    world.evaluate(keep_pictures=True)
    recipe = recipe_from(world.folder / "out" / "pictures" / "001-bob-w1-t0-p1-s42.png")
    (person,) = recipe.people
    (kept,) = {
        call.identity.sha256
        for call in world.engine.calls
        if call.people and call.identity.tokens[0, 1] > 200
    }
    assert (person.weight, recipe.generation.prompt) == (1.0, "gold wall")
    assert isinstance(person.identity, Identity)
    assert person.identity.sha256 == kept


def test_memory_is_planned_as_for_any_picture(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(context: ContextOptions, generation: GenerationOptions, **options: Any) -> Plan:
        assert options["vram"] == 2.0
        return Plan("GPU0", 2**31, 64, 64, {}, {"keep_clip_on_cpu": True}, {"vae_tiling": True})

    monkeypatch.setattr(loaded_model, "plan_memory", plan)
    monkeypatch.setattr(loaded_model, "devices", list)
    world.evaluate(vram=2.0)
    assert {call.picture.vae_tiling for call in world.engine.calls} == {True}
    parameters = world.summary()["parameters"]
    assert parameters["generation"]["vae_tiling"] is True
    assert parameters["context"]["keep_clip_on_cpu"] is True


def test_one_person_has_no_random_pairs_and_is_told(world: World) -> None:
    result = world.evaluate(references=(Reference(world.portraits[0]),), judges=())
    found = result.scores.similarity["extraction"]
    assert (found.random_mean, found.auc, found.top_1) == (None, None, None)
    assert any("no AUC" in note for note in result.notes)
    assert any("--judge" in note for note in result.notes)
    assert world.summary()["own"]["similarity"]["extraction"]["auc"] is None


def test_without_a_reader_adherence_is_left_out_and_that_is_said(world: World) -> None:
    result = world.evaluate(attributes=None)
    assert result.scores.adherence == {}
    assert any("adherence is not measured" in note for note in result.notes)


@pytest.mark.parametrize(
    "failure",
    [
        KeyboardInterrupt(),
        GenerationCancelled("cancelled"),
        GenerationError("the engine failed"),
    ],
)
def test_what_was_done_before_a_failure_is_written(world: World, failure: BaseException) -> None:
    world.engine = DrawingEngine(fail_at=5, failure=failure)
    with pytest.raises(type(failure)):
        world.evaluate()
    assert len(world.rows()) == 4
    summary = world.summary()
    assert summary["complete"] is False
    assert summary["own"]["n_pictures"] == 2
    assert (world.folder / "out" / "plot.png").exists()
    assert world.engine.closed == 1
    assert "4 of 8" in world.said[-1]


def test_interrupted_before_anybody_came_there_are_files_all_the_same(world: World) -> None:
    world.engine = DrawingEngine(fail_at=2, failure=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        world.evaluate(id_weights=(0.5,), keep_pictures=True)
    assert len(world.rows()) == 1
    own = world.summary()["own"]
    assert (own["n_pictures"], own["similarity"], own["purity"]) == (0, {}, None)
    names = {path.name for path in (world.folder / "out").iterdir()}
    assert {"plot.png", "contact_sheet.png"} <= names


def test_a_failure_before_the_first_picture_writes_nothing(world: World) -> None:
    world.engine = DrawingEngine(fail_at=1, failure=GenerationError("no"))
    with pytest.raises(GenerationError):
        world.evaluate()
    assert list((world.folder / "out").iterdir()) == []


def test_what_cannot_work_is_refused_before_the_engine_is_loaded(world: World) -> None:
    def refused(error: type[Exception], words: str, **changed: Any) -> None:
        with pytest.raises(error, match=words):
            world.evaluate(**changed)
        assert world.engine.context is None

    refused(ValueError, "pulid_weights", context=replace(CONTEXT, pulid_weights=None))
    refused(OutputFileError, "cannot make the folder", output=world.folder / "a" / "b")
    mauve = EvaluationPrompt("navy wall", {"background": "mauve"})
    refused(ValueError, "'mauve', but the attribute reader knows navy, teal", prompts=(mauve,))
    hat = EvaluationPrompt("navy wall", {"hat": "navy"})
    refused(ValueError, "hat 'navy', but the attribute reader knows background", prompts=(hat,))
    Image.new("RGB", (80, 80), "black").save(world.folder / "dark.png")
    refused(
        FaceNotFoundError, "nothing to compare", references=(Reference(world.folder / "dark.png"),)
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"references": ()}, "no person is given"),
        ({"prompts": ()}, "no prompt"),
        ({"seeds": ()}, "no seed"),
        ({"seeds": (-1,)}, "seed is -1"),
        ({"seeds": (3, 3)}, "the seed 3 is given 2 times"),
        ({"id_weights": (6.0,)}, "id_weights is 6"),
        ({"start_steps": (-1,)}, "start_steps is -1"),
        ({"references": (Reference("a/x.png"), Reference("b/x.png"))}, "the reference x is given"),
        ({"judges": ("",)}, "judges is ''"),
    ],
)
def test_options_that_make_no_sense_are_refused(changed: dict[str, Any], words: str) -> None:
    given = {"references": (Reference("a.png"),), "prompts": PROMPTS, **changed}
    with pytest.raises(ValueError, match=words):
        EvaluationOptions(**given)


def test_a_reference_is_a_path_and_a_prompt_is_text() -> None:
    with pytest.raises(ValueError, match="portrait is None"):
        Reference(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prompt is 3"):
        EvaluationPrompt(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="attribute background is 3"):
        EvaluationPrompt("a", {"background": 3})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="names and values"):
        EvaluationPrompt("a", ["red"])  # type: ignore[arg-type]


def test_of_a_kept_person_the_identity_that_fits_the_model_is_taken(world: World) -> None:
    """It is the further one beside the file."""
    fits = ColorExtractor().extract(world.portraits[0])
    path = world.folder / "ann.pulidembd"
    tokens, photos = fits.tokens, "0a"
    Identity.from_array(tokens, encoder="sdxl-v1.1", source_sha256=photos).save(path)
    further = further_path(path, "flux")
    further.parent.mkdir()
    Identity.from_array(tokens, source_sha256=photos).save(further)
    world.evaluate(references=(Reference(world.portraits[0], path),))
    assert {call.identity.encoder for call in world.engine.calls if call.people} == {"flux"}


def test_an_identity_file_that_is_none_is_found_before_the_portraits_are_judged(
    world: World,
) -> None:
    Identity.from_array(np.ones((1, 3), np.float32)).save(world.folder / "good.pulidembd")
    (world.folder / "bad.pulidembd").write_bytes(b"nothing")
    reference = Reference(world.portraits[0], world.folder / "bad.pulidembd")
    with pytest.raises(Exception, match=r"bad\.pulidembd"):
        world.evaluate(references=(reference,))
