"""A batch with a pipeline that computes nothing: what is made, kept, refused, and said."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pulid_sdcpp import Identity
from pulid_sdcpp.batch.job import Batch
from pulid_sdcpp.batch.job_file import read_batch
from pulid_sdcpp.batch.plan import (
    KEY_NAME,
    PlannedPicture,
    plan_batch,
    remove_unfinished,
    working_order,
)
from pulid_sdcpp.batch.run import BatchResult, run_batch
from pulid_sdcpp.errors import (
    BatchFileError,
    FaceNotFoundError,
    GenerationCancelled,
    GenerationError,
    IdentityFileError,
    ImageFileError,
    ModelFileError,
    OutputFileError,
)
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.people.person import Person
from pulid_sdcpp.pictures.png_text import (
    PictureText,
    format_text,
    parse_text,
    read_picture_text,
    save_picture,
)
from pulid_sdcpp.pictures.result import Result
from pulid_sdcpp.request.generate_request import GenerateRequest

JOBS = """
width = 64
height = 64
steps = 2
seeds = [1, 2]
prompts = ["on a beach", "in the snow"]
[people.alice]
portraits = "alice.png"
[people.bob]
portraits = ["bob.png", "bob2.png"]
"""
ALL = {f"{who}-{what}-s{seed}-w1.png" for who in ("alice", "bob")
       for what in ("on-a-beach", "in-the-snow") for seed in (1, 2)}  # fmt: skip
BESIDE = {"contact-sheet.png", "summary.json"}


class FakePipeline:
    """Plain pictures whose colour tells what was asked for."""

    def __init__(self) -> None:
        self.enrolled: list[Any] = []
        self.context = ContextOptions("flux.gguf", clip_l_path="c", taesd_path="t")
        self.requests: list[GenerationOptions] = []
        self.fail_enroll: dict[str, Exception] = {}
        self.fail_generate: Callable[[GenerationOptions], BaseException | None] = lambda asked: None

    def enroll(self, photos: Any, *, face: Any, fusion: str) -> Identity:
        first = photos[0] if isinstance(photos, list) else photos
        self.enrolled.append(photos)
        if first.name in self.fail_enroll:
            raise self.fail_enroll[first.name]
        return Identity.from_array([[float(len(first.name)), float(first.stat().st_size)]])

    def make(self, settled: GenerateRequest, people: Sequence[Person]) -> Result:
        asked = settled.generation
        self.requests.append(asked)
        if (failure := self.fail_generate(asked)) is not None:
            raise failure
        said = [asked.prompt, asked.seed, asked.width,
                *[(float(p.identity.tokens.sum()), p.weight) for p in people]]  # fmt: skip
        color = tuple(hashlib.sha256(repr(said).encode()).digest()[:3])
        image = Image.new("RGB", (asked.width, asked.height), color)
        values = {"Steps": "2", "Seed": str(asked.seed), "Model": "none"}
        return Result(image, asked.seed, PictureText(asked.prompt, "", values))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shade, name in enumerate(("alice.png", "bob.png", "bob2.png")):
        Image.new("RGB", (8 + shade, 8), (shade, 0, 0)).save(tmp_path / name)
    Image.new("RGB", (11, 8), (200, 200, 200)).save(tmp_path / "mask.png")
    for name in ("flux.gguf", "taef1.safetensors", "clip_l.gguf", "pulid.safetensors", "eva.pt"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "jobs.toml").write_text(JOBS)
    return tmp_path


def context_of(folder: Path, **options: Any) -> ContextOptions:
    files = {
        "diffusion_model_path": folder / "flux.gguf",
        "taesd_path": folder / "taef1.safetensors",
        "clip_l_path": folder / "clip_l.gguf",
        "pulid_weights": folder / "pulid.safetensors",
    }
    return ContextOptions(**{**files, **options})


def plan(
    folder: Path, text: str = JOBS, overwrite: bool = False, **options: Any
) -> tuple[Batch, tuple[PlannedPicture, ...]]:
    (folder / "jobs.toml").write_text(text)
    batch = read_batch(folder / "jobs.toml")
    extractor = {"eva": folder / "eva.pt"}
    context = context_of(folder, **options)
    return batch, plan_batch(batch, context, {"guidance": 4}, extractor, overwrite=overwrite)


def run(folder: Path, pipeline: Any, *arguments: Any, **options: Any) -> BatchResult:
    batch, pictures = plan(folder, *arguments, **options)
    return run_batch(batch, pictures, pipeline, {"guidance": 4})


def content(folder: Path) -> dict[str, bytes]:
    found = (path for path in (folder / "jobs").rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in found if path.name != "summary.json"}


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "jobs" / "summary.json").read_text("utf-8"))


def test_everything_is_made_once_and_kept_with_its_key(folder: Path) -> None:
    pipeline = FakePipeline()
    result = run(folder, pipeline)
    assert (result.count("made"), result.failures) == (8, ())
    assert {path.name for path in (folder / "jobs").iterdir()} == ALL | BESIDE
    assert pipeline.enrolled == [folder / "alice.png", [folder / "bob.png", folder / "bob2.png"]]
    # The preset's settings and the file's are all there.
    assert all((asked.guidance, asked.steps) == (4, 2) for asked in pipeline.requests)
    keys = set()
    for name in ALL:
        text = parse_text(read_picture_text(folder / "jobs" / name) or "")
        keys.add(text.values["Batch job"])
        assert f"-s{text.values['Seed']}-" in name
    assert len(keys) == 8
    said = summary(folder)
    assert (said["made"], said["already_there"], said["failed"], said["waiting"]) == (8, 0, 0, 0)
    assert {picture["file"] for picture in said["pictures"]} == ALL
    assert {picture["key"] for picture in said["pictures"]} == keys
    assert said["contact_sheets"] == ["contact-sheet.png"]


def test_what_is_there_is_not_made_again(folder: Path) -> None:
    run(folder, FakePipeline())
    before = content(folder)
    (folder / "jobs" / "bob-in-the-snow-s2-w1.png").unlink()
    pipeline = FakePipeline()
    result = run(folder, pipeline)
    assert (result.count("made"), result.count("there")) == (1, 7)
    assert pipeline.enrolled == [[folder / "bob.png", folder / "bob2.png"]]  # and nobody else
    assert content(folder) == before
    assert run(folder, pipeline).count("there") == 8
    assert len(pipeline.requests) == 1
    assert summary(folder)["already_there"] == 8


@pytest.mark.parametrize("stop", [1, 3, 8])
@pytest.mark.parametrize("error", [KeyboardInterrupt, lambda: GenerationCancelled("cancelled")])
def test_a_stopped_run_keeps_what_is_finished(folder: Path, stop: int, error: Any) -> None:
    pipeline = FakePipeline()
    pipeline.fail_generate = lambda request: error() if len(pipeline.requests) == stop else None
    batch, pictures = plan(folder)
    stopped: list[BatchResult] = []
    with pytest.raises((KeyboardInterrupt, GenerationCancelled)):
        run_batch(batch, pictures, pipeline, {"guidance": 4}, on_stop=stopped.append)
    assert (stopped[0].count("made"), stopped[0].count("waiting")) == (stop - 1, 9 - stop)
    assert summary(folder)["waiting"] == 9 - stop
    assert len(content(folder)) == stop - 1
    pipeline.fail_generate = lambda request: None
    assert run(folder, pipeline).count("made") == 9 - stop
    resumed = content(folder)
    for path in (folder / "jobs").iterdir():
        path.unlink()
    run(folder, FakePipeline())
    assert content(folder) == resumed


def test_only_this_batchs_temporary_files_are_removed(folder: Path) -> None:
    output = folder / "jobs"
    output.mkdir()
    ours = [".alice-on-a-beach-s1-w1.png.abcd_123.part", ".contact-sheet.png.abcdefgh.part",
            ".contact-sheet-2.png.abcdefgh.part", ".summary.json.abcdefgh.part"]  # fmt: skip
    others = [".carol-s1.png.abcdefgh.part", ".alice-on-a-beach-s1-w1.png.part", "alice.part",
              ".alice-on-a-beach-s1-w1.png.ABCDEFGH.part", ".jobs.toml.abcdefgh.part"]  # fmt: skip
    for name in (*ours, *others):
        (output / name).write_bytes(b"half a pic")
    run(folder, FakePipeline())
    left = {path.name for path in output.iterdir()} - ALL - BESIDE
    assert left == set(others)


def test_a_long_name_is_cut_in_its_temporary_files(tmp_path: Path) -> None:
    """As `atomic_file` cuts it."""
    from pulid_sdcpp.system.atomic_file import atomic_file

    path = tmp_path / f"{'x' * 150}.png"
    with atomic_file(path):
        (temporary,) = tmp_path.iterdir()
    path.rename(temporary)
    remove_unfinished(tmp_path / "elsewhere", [path])
    assert list(tmp_path.iterdir()) == []


CHANGES = [
    ("prompt", lambda text: text.replace("on a beach", "on a  beach")),
    ("steps", lambda text: text.replace("steps = 2", "steps = 3")),
    ("weight", lambda text: f"name = '{{person}}-{{prompt}}-s{{seed}}-w1'\nweight = 0.9\n{text}"),
    ("end", lambda text: f"end_step = 1\n{text}"),
    ("part", lambda text: f"end_step = 1.0\n{text}"),
    ("start", lambda text: f"start_step = 1\n{text}"),
    ("cfg", lambda text: f"cfg_start_step = 1\n{text}"),
    ("face", lambda text: f"face = 'left'\n{text}"),
    ("mask", lambda text: text.replace('"alice.png"', '"alice.png"\nmask = "mask.png"')),
    ("box", lambda text: text.replace('"alice.png"', '"alice.png"\nbox = [0, 0, 1, 1]')),
    ("photos", lambda text: text.replace('"alice.png"', '["alice.png", "bob.png"]')),
]


def test_a_key_names_everything_that_makes_a_picture(folder: Path) -> None:
    def key(text: str = JOBS, **options: Any) -> str:
        return plan(folder, text, **options)[1][0].key

    seen = {"as it is": key()}
    for name, change in CHANGES:
        seen[name] = key(change(JOBS))
    for option, value in [("pulid_dtype", "q8_0"), ("rng_type", "cpu"), ("backend", "vulkan0")]:
        seen[option] = key(**{option: value})
    for name in ("alice.png", "flux.gguf", "clip_l.gguf", "eva.pt", "pulid.safetensors"):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(before + b"changed")
        seen[f"content of {name}"] = key()
        (folder / name).write_bytes(before)
    assert len(set(seen.values())) == len(seen), seen
    # What changes no picture changes no key.
    assert key(n_threads=3, offload_params_to_cpu=True, vae_decode_only=True) == seen["as it is"]
    moved = folder / "moved.gguf"
    (folder / "flux.gguf").rename(moved)
    assert key(diffusion_model_path=moved) == seen["as it is"]


def test_a_loras_content_is_in_the_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whether it is one is checked elsewhere.
    monkeypatch.setattr("pulid_sdcpp.batch.key.check_prompt_loras", lambda *_, **__: None)
    keys = []
    for content in (b"one", b"two"):
        (folder / "style.safetensors").write_bytes(content)
        text = JOBS.replace("on a beach", "<lora:style:1> on a beach")
        keys.append(plan(folder, text, lora_model_dir=folder)[1][0].key)
    assert keys[0] != keys[1]


def test_a_second_pass_is_in_the_key_with_its_upscaling_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulid_sdcpp.model_files.upscalers.check_upscaler", lambda _: None)
    text = 'hires = true\nhires_upscaler = "fine"\n' + JOBS
    keys = [plan(folder)[1][0].key]
    for content in (b"one", b"two"):
        (folder / "fine.safetensors").write_bytes(content)
        keys.append(plan(folder, text, hires_upscalers_dir=folder)[1][0].key)
        keys.append(plan(folder, upscaler_path=folder / "fine.safetensors")[1][0].key)
    keys.append(plan(folder, "hires = true\n" + JOBS)[1][0].key)
    assert len(set(keys)) == len(keys)
    # What means nothing without it makes no other picture.
    assert plan(folder, "hires_scale = 3.0\n" + JOBS)[1][0].key == keys[0]
    with pytest.raises(BatchFileError, match=r"hires_upscaler is 'fime'.*did you mean fine\?"):
        plan(folder, text.replace("fine", "fime"), hires_upscalers_dir=folder)


def test_an_identity_files_content_counts_and_not_its_name(folder: Path) -> None:
    def key(numbers: list[float], name: str = "alice") -> str:
        file = folder / f"{name}.pulidembd"
        Identity.from_array([numbers]).save(file, "f32", overwrite=True)
        text = f'prompts = "a"\n[people.a]\nidentity = "{name}.pulidembd"'
        return plan(folder, text)[1][0].key

    assert key([0.0, 1.0]) == key([0.0, 1.0], "copy") != key([0.0, 1.00001])


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_picture_made_otherwise_is_replaced_only_when_told(folder: Path, overwrite: bool) -> None:
    run(folder, FakePipeline())
    before = content(folder)
    (folder / "jobs" / "bob-in-the-snow-s2-w1.png").write_bytes(b"my own")
    text = JOBS.replace('"on a beach"', '{name = "on a beach", prompt = "on a sunny beach"}')
    pipeline = FakePipeline()
    result = run(folder, pipeline, text, overwrite=overwrite)
    after = content(folder)
    changed = {name for name in ALL if "beach" in name} | {"bob-in-the-snow-s2-w1.png"}
    if overwrite:
        assert (result.count("made"), result.count("there")) == (5, 3)
        assert {name for name in ALL if after[name] != before[name]} == changed - {
            "bob-in-the-snow-s2-w1.png"
        }
        return
    assert (result.count("made"), result.count("failed")) == (0, 5)
    assert not pipeline.requests
    assert {name for name in ALL if after[name] != before[name]} == {"bob-in-the-snow-s2-w1.png"}
    problems = {each.picture.job.file_name: each.problem for each in result.failures}
    assert set(problems) == changed
    for name, problem in problems.items():
        assert name in problem
        assert "--overwrite" in problem
        assert ("is not a picture" if name.startswith("bob-in") else "other settings") in problem


ON_A_BEACH = """
width = 64
height = 64
steps = 2
prompts = ["on a beach"]
"""
# The keys that version 0.1.0 wrote.
WITHOUT_SCHEDULE = "f42e4f16bd7f6d9858269a81ce01e74e6ddacc192ca3b0b833b1ed412cadb627"
WITH_DISCRETE = "20b60a5dffd0cf8021d1039dcf692a9985e2efee4c107a15fe793764e7c02118"
WITH_LCM_SAMPLER = "9b700ca8a8adfddb50fee878dd375e40fe9ebfc487b64155372b3f9a49f1381e"
WITH_SIGMAS = "782a68d3891ee95cca4f8e9f50997481d2e672cca2f92086b2340afc3f0ea147"


@pytest.mark.parametrize(
    ("key", "added", "problem"),
    [
        (WITHOUT_SCHEDULE, "", 'add scheduler = "discrete" to the jobs'),
        (WITHOUT_SCHEDULE, 'scheduler = "flux"', 'add scheduler = "discrete" to the jobs'),
        (WITHOUT_SCHEDULE, 'scheduler = "discrete"', None),
        (WITHOUT_SCHEDULE, "cfg_scale = 2.0", "made with other settings"),
        (WITH_DISCRETE, 'scheduler = "discrete"', None),
        (WITH_DISCRETE, "", "made with other settings"),
        (WITH_LCM_SAMPLER, 'sampling_method = "lcm"', 'add scheduler = "lcm" to the jobs'),
        (WITH_LCM_SAMPLER, 'sampling_method = "lcm"\nscheduler = "lcm"', None),
        (WITH_SIGMAS, "sigmas = [1.0, 0.5, 0.0]", None),
    ],
)
def test_a_batch_begun_before_flux_was_the_default_schedule(
    key: str, added: str, problem: str | None, folder: Path
) -> None:
    """It goes on with the schedule that it was begun with, or not at all."""
    _, (picture,) = plan(folder, f"seeds = [1]\n{ON_A_BEACH}{added}")
    picture.path.parent.mkdir()
    text = PictureText("on a beach", "", {"Steps": "2", "Seed": "1", KEY_NAME: key})
    save_picture(Image.new("RGB", (64, 64)), picture.path, format_text(text))
    _, (picture,) = plan(folder, f"seeds = [1]\n{ON_A_BEACH}{added}")
    assert picture.state == ("there" if problem is None else "taken")
    assert (problem or "") in picture.problem


def test_the_default_schedule_and_its_name_are_one_job(folder: Path) -> None:
    keys = {
        plan(folder, f"seeds = [1]\n{ON_A_BEACH}{added}")[1][0].key
        for added in ("", 'scheduler = "flux"', 'scheduler = "default"')
    }
    assert len(keys) == 1


def test_a_picture_that_is_damaged_or_of_nobodys_batch_is_not_taken_for_ours(folder: Path) -> None:
    run(folder, FakePipeline())
    cut = folder / "jobs" / "alice-on-a-beach-s1-w1.png"
    cut.write_bytes(cut.read_bytes()[:-30])
    Image.new("RGB", (8, 8)).save(folder / "jobs" / "alice-on-a-beach-s2-w1.png")
    (folder / "jobs" / "bob-on-a-beach-s1-w1.png").unlink()
    (folder / "jobs" / "bob-on-a-beach-s1-w1.png").mkdir()
    for overwrite, states in ((False, ["taken"] * 3), (True, ["new", "new", "taken"])):
        _, pictures = plan(folder, overwrite=overwrite)
        assert [picture.state for picture in pictures[:3]] == states
        assert {picture.state for picture in pictures[3:]} == {"there"}


@pytest.mark.parametrize("error", [FaceNotFoundError, ImageFileError, IdentityFileError])
def test_a_photo_that_cannot_be_used_fails_only_its_own_jobs(
    folder: Path, error: type[Exception]
) -> None:
    pipeline = FakePipeline()
    pipeline.fail_enroll["alice.png"] = error("alice.png: no\nface")
    ended = []
    batch, pictures = plan(folder)
    result = run_batch(batch, pictures, pipeline, {}, on_end=lambda *each: ended.append(each))
    assert (result.count("made"), result.count("failed")) == (4, 4)
    assert {failure.problem for failure in result.failures} == {"alice.png: no face"}
    assert len(ended) == 8
    assert sum(made is None for _, made in ended) == 4
    said = [each for each in summary(folder)["pictures"] if each["status"] == "failed"]
    assert {each["file"] for each in said} == {name for name in ALL if "alice" in name}
    assert said[0]["problem"] == "alice.png: no face"
    pipeline.fail_enroll.clear()
    assert run(folder, pipeline).count("made") == 4


def test_a_picture_that_fails_does_not_stop_the_others(folder: Path) -> None:
    pipeline = FakePipeline()
    pipeline.fail_generate = lambda asked: (
        GenerationError("out of memory") if "snow" in asked.prompt else None
    )
    result = run(folder, pipeline)
    assert (result.count("made"), result.count("failed")) == (4, 4)
    assert result.sheets  # with empty places


def test_models_that_cannot_be_loaded_end_the_batch(folder: Path) -> None:
    pipeline = FakePipeline()
    pipeline.fail_generate = lambda request: ModelFileError("flux.gguf is damaged")
    with pytest.raises(ModelFileError):
        run(folder, pipeline)
    assert len(pipeline.requests) == 1
    assert summary(folder)["waiting"] == 8


def test_a_full_disk_ends_the_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OutputFileError("no space left")

    monkeypatch.setattr("pulid_sdcpp.batch.run.save_picture", full)
    pipeline = FakePipeline()
    with pytest.raises(OutputFileError, match="no space"):
        run(folder, pipeline)
    assert len(pipeline.requests) == 1


def test_everything_is_checked_before_anything_is_made(folder: Path) -> None:
    with pytest.raises(BatchFileError, match=r"prompt 1: there is a person, but no PuLID weights"):
        plan(folder, pulid_weights=None)
    (folder / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ImageFileError, match="broken"):
        plan(folder, JOBS.replace('"alice.png"', '"alice.png"\nmask = "broken.png"'))
    with pytest.raises(ModelFileError, match="no LoRA 'style'"):
        plan(folder, JOBS.replace("on a beach", "<lora:style:1>"))
    (folder / "a.pulidembd").write_bytes(b"GGUF and nothing")
    with pytest.raises(IdentityFileError, match=r"a\.pulidembd"):
        plan(folder, 'prompts = "a"\n[people.a]\nidentity = "a.pulidembd"')
    (folder / "file").touch()
    batch, pictures = plan(folder, f'output_dir = "file"\n{JOBS}')
    with pytest.raises(OutputFileError, match="is a file; name a folder"):
        run_batch(batch, pictures, FakePipeline(), {})  # type: ignore[arg-type]


def test_a_person_in_no_step_or_no_part_is_refused_before_the_first_picture(folder: Path) -> None:
    with pytest.raises(BatchFileError, match="there are 2 steps: 0 to 1"):
        plan(folder, f"start_step = 2\n{JOBS}")
    with pytest.raises(BatchFileError, match="start step 1 and end step 1"):
        plan(folder, f"start_step = 1\nend_step = 1\n{JOBS}")
    with pytest.raises(BatchFileError, match="8x64 pixels of 64x64"):
        plan(folder, f"{JOBS}box = [0, 0, 0.125, 1]\n")
    plan(folder, f"start_step = 2\nweight = 0\n{JOBS}")


def test_each_prompt_comes_once_and_each_size_together(folder: Path) -> None:
    text = JOBS.replace(
        '"in the snow"]', '"in the snow", {name="large", prompt="on a beach", width=128}, "far"]'
    )
    _, pictures = plan(folder, text)
    order = working_order([replace(each, state="new") for each in reversed(pictures)], {})
    prompts = [(each.job.settings["width"], each.job.prompt) for each in order]
    assert len(order) == 16
    changes = sum(a != b for a, b in pairwise(prompts))
    assert changes == len(set(prompts)) - 1
    widths = [width for width, _ in prompts]
    assert sum(a != b for a, b in pairwise(widths)) == 1
    people = [each.job.person_name for each in order]
    assert sum(a != b for a, b in pairwise(people)) == 7
    for there in ("there", "taken"):
        assert working_order([replace(pictures[0], state=there)], {}) == []  # type: ignore[arg-type]


def test_a_picture_to_start_from_gives_the_size_that_is_not_asked_for(folder: Path) -> None:
    (folder / "jobs.toml").write_text(
        '[[jobs]]\nprompt = "a"\ninit_image = "mask.png"\nheight = 32'
    )
    batch = read_batch(folder / "jobs.toml")
    settings = {"width": 512, "height": 512, "steps": 3}
    pictures = plan_batch(batch, context_of(folder), settings, {})
    pipeline = FakePipeline()
    run_batch(batch, pictures, pipeline, settings)  # type: ignore[arg-type]
    (asked,) = pipeline.requests
    assert (asked.width, asked.height, asked.steps) == (16, 32, 3)  # the mask is 11 wide


# Files that change, and files that must not be replaced

SIZE = "steps = 2\nwidth = 64\nheight = 64"


def test_a_file_that_changes_meanwhile_gives_no_picture_under_its_key(folder: Path) -> None:
    """Replaced after the first picture, and put back after the third."""
    start = folder / "mask.png"
    original = start.read_bytes()
    text = f'prompts = ["a", "b", "c", "d"]\ninit_image = "mask.png"\n{SIZE}'
    pipeline = FakePipeline()

    def change(asked: GenerationOptions) -> None:
        if asked.prompt == "b":
            Image.new("RGB", (8, 8), "lime").save(start)
        elif asked.prompt == "c":
            start.write_bytes(original)

    pipeline.fail_generate = change
    result = run(folder, pipeline, text)
    assert [outcome.status for outcome in result.outcomes] == ["made", *["failed"] * 3]
    for outcome in result.failures:
        assert outcome.problem == f"{start} changed while the batch ran; run it again"
    assert set(content(folder)) == {"nobody-a-s42-w0.png", "contact-sheet.png"}
    # What was refused is made by the next run, with the file as it is now.
    start.write_bytes(original)
    pipeline.fail_generate = lambda request: None
    again = run(folder, pipeline, text)
    assert (again.count("made"), again.count("there")) == (3, 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("flux.gguf", 'prompts = "a"'),
        ("pulid.safetensors", 'prompts = "a"'),
        ("alice.png", 'prompts = "a"\n[people.a]\nportraits = "alice.png"'),
        ("bob2.png", 'prompts = "a"\n[people.b]\nportraits = ["bob.png", "bob2.png"]'),
        ("eva.pt", 'prompts = "a"\n[people.a]\nportraits = "alice.png"'),
        ("white.png", 'prompts = "a"\n[people.a]\nportraits = "alice.png"\nmask = "white.png"'),
        ("white.png", 'prompts = "a"\ninit_image = "bob.png"\nmask_image = "white.png"'),
        ("bob.png", 'prompts = "a"\nref_images = ["bob.png"]'),
        ("person.pulidembd", 'prompts = "a"\n[people.a]\nidentity = "person.pulidembd"'),
    ],
)
def test_every_kind_of_file_that_a_job_is_made_of_is_watched(
    folder: Path, name: str, text: str
) -> None:
    Image.new("L", (8, 8), 200).save(folder / "white.png")
    Identity.from_array([[1.0]]).save(folder / "person.pulidembd")
    batch, pictures = plan(folder, f"steps = 2\n{text}")
    assert pictures[0].changed_file is None
    (folder / name).write_bytes((folder / name).read_bytes() + b"more")
    pipeline = FakePipeline()
    result = run_batch(batch, pictures, pipeline, {"guidance": 4})
    assert [outcome.status for outcome in result.outcomes] == ["failed"]
    assert f"{name} changed while the batch ran" in result.failures[0].problem
    assert pipeline.requests == []
    (folder / name).unlink()
    assert pictures[0].changed_file == folder / name


def test_a_picture_that_came_meanwhile_is_kept(folder: Path) -> None:
    batch, pictures = plan(folder, f'prompts = ["a", "b"]\n{SIZE}')
    first, second = (picture.path for picture in pictures)
    first.parent.mkdir()
    first.write_bytes(b"my own")
    other = folder / "other"
    text = f'prompts = ["b"]\noutput_dir = "{other.as_posix()}"\n{SIZE}'
    run(folder, FakePipeline(), text)
    (other / second.name).rename(second)  # as another run of the same batch makes it
    result = run_batch(batch, pictures, FakePipeline(), {"guidance": 4})
    assert [outcome.status for outcome in result.outcomes] == ["failed", "there"]
    assert "it exists" in result.failures[0].problem
    assert first.read_bytes() == b"my own"


@pytest.mark.parametrize("name", ["contact-sheet.png", "contact-sheet-3.png", "summary.json"])
def test_a_file_of_ones_own_beside_the_pictures_is_not_replaced(folder: Path, name: str) -> None:
    (folder / "jobs").mkdir()
    own = folder / "jobs" / name
    if name.endswith(".png"):
        Image.new("RGB", (8, 8)).save(own)
    else:
        own.write_text('{"complete": true}')
    before = own.read_bytes()
    with pytest.raises(BatchFileError, match=rf"{name} exists, but was not made.*overwrite"):
        run(folder, FakePipeline())
    assert own.read_bytes() == before
    batch, pictures = plan(folder, overwrite=True)
    run_batch(batch, pictures, FakePipeline(), {"guidance": 4}, overwrite=True)
    assert (own.read_bytes() == before) == (name == "contact-sheet-3.png")


def test_a_sheet_of_an_earlier_version_is_known_by_the_summary(folder: Path) -> None:
    run(folder, FakePipeline())
    sheet = folder / "jobs" / "contact-sheet.png"
    with Image.open(sheet) as picture:
        picture.convert("RGB").save(sheet)  # those had no text
    assert run(folder, FakePipeline()).count("there") == 8
    (folder / "jobs" / "summary.json").unlink()
    with Image.open(sheet) as picture:
        picture.convert("RGB").save(sheet)
    with pytest.raises(BatchFileError, match=r"contact-sheet\.png exists, but was not made"):
        plan(folder)


def test_a_file_that_is_read_is_never_replaced(folder: Path) -> None:
    text = 'output_dir = "."\nname = "{person}"\nprompts = "a"\n[people.alice]\n'
    before = (folder / "alice.png").read_bytes()
    assert plan(folder, f'{text}portraits = "alice.png"')[1][0].state == "taken"
    with pytest.raises(BatchFileError, match=r"alice\.png is read; name another folder"):
        plan(folder, f'{text}portraits = "alice.png"', overwrite=True)
    shutil.copy(folder / "alice.png", folder / "contact-sheet.png")
    with pytest.raises(BatchFileError, match=r"contact-sheet\.png is read; name another folder"):
        plan(folder, f'{text}portraits = "contact-sheet.png"', overwrite=True)
    assert (folder / "alice.png").read_bytes() == before


def test_a_finished_picture_can_be_the_start_of_another(folder: Path) -> None:
    text = f'name = "{{prompt}}"\nprompts = ["a"]\n{SIZE}\n'
    run(folder, FakePipeline(), text)
    text += '[[jobs]]\nprompt = "b"\ninit_image = "jobs/a.png"'
    assert [each.status for each in run(folder, FakePipeline(), text).outcomes] == ["there", "made"]


def test_a_file_in_the_place_of_a_folder_fails_its_own_jobs(folder: Path) -> None:
    (folder / "jobs").mkdir()
    (folder / "jobs" / "alice").write_text("mine")
    result = run(folder, FakePipeline(), f'name = "{{person}}/{{prompt}}-{{seed}}"\n{JOBS}')
    assert (result.count("made"), result.count("failed")) == (4, 4)
    for outcome in result.failures:
        assert "alice is a file; name another folder" in outcome.problem
    assert (folder / "jobs" / "alice").read_text() == "mine"


def test_a_mask_that_is_read_in_another_way_now_has_another_key(folder: Path) -> None:
    def key(image: Image.Image) -> str:
        image.save(folder / "white.png")
        text = 'prompts = "a"\n[people.a]\nportraits = "alice.png"\nmask = "white.png"'
        return plan(folder, text)[1][0].key

    plain, seen = Image.new("L", (8, 8), 200), Image.new("LA", (8, 8), (200, 100))
    keys = {}
    for version in (1, 2):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("pulid_sdcpp.batch.key.MASK_VERSION", version)
            keys[version] = key(plain), key(seen)
    assert keys[1][0] == keys[2][0]
    assert keys[1][1] != keys[2][1]
