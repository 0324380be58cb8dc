"""`generate` with presets, portraits and people; engine and extractor only pretend."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fake_engine import Call, FakeEngine
from pulid_sdcpp.cli import main
from pulid_sdcpp.engine import factory
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.extraction import enrolment
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.kept_people import keep_person
from pulid_sdcpp.pictures.png_text import parse_text, read_picture_text
from pulid_sdcpp.store import model_store
from pulid_sdcpp.store.model_store import PresetFiles

SMALL = ("-p", "a face", "-W", "64", "-H", "32")


def identity_of(name: str) -> Identity:
    return Identity.from_array(np.full((4, 8), sum(name.encode()) / 1000, np.float32))


class Enrolments:
    """Remembers what was enrolled; a photo's name decides whose it is."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def enroll(self, photos: Any, *, on_face: Any, on_extract: Any, **options: Any) -> Identity:
        several = photos if isinstance(photos, list) else [photos]
        self.calls.append({"photos": several, **options})
        on_extract()
        for photo in several:
            n_faces = 3 if "group" in str(photo) else 1
            on_face(SimpleNamespace(photo=str(photo), n_faces=n_faces, index=1))
        return identity_of(Path(several[0]).stem)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(factory, "load_engine", fake.create)
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("alice.jpg", "bob.jpg", "group.jpg"):
        Path(name).write_bytes(b"a photo")
    identity_of("carol").save(Path("carol.pulidembd"))
    return fake


@pytest.fixture
def enrolments(monkeypatch: pytest.MonkeyPatch) -> Enrolments:
    fake = Enrolments()
    monkeypatch.setattr(
        enrolment.Enroller, "enroll", lambda self, *args, **options: fake.enroll(*args, **options)
    )
    return fake


@pytest.fixture
def preset(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A preset "tiny"; the arguments it was looked up with."""
    looked_up: list[tuple[Any, ...]] = []

    def resolve(name: str, models_dirs: Any = (), *, without: Any = (), **_: Any) -> PresetFiles:
        looked_up.append((name, tuple(models_dirs)))
        if name == "lost":
            raise ModelFileError("preset lost: missing model files: a.gguf")
        context = {
            "diffusion_model_path": Path("tiny.gguf"),
            "taesd_path": Path("tiny-tae.safetensors"),
            "clip_l_path": Path("tiny-clip.safetensors"),
            "pulid_weights": Path("tiny-pulid.safetensors"),
        }
        return PresetFiles(
            name=name,
            settings={"steps": 3, "guidance": 1.5, "width": 96},
            context={field: path for field, path in context.items() if field not in without},
            extractor={"eva": Path("eva.safetensors")},
            missing_for_extraction="no extractor here" if name == "bare" else "",
        )

    monkeypatch.setattr(model_store, "resolve_preset", resolve)
    return looked_up


def run(*arguments: str, preset: str = "tiny") -> Result:
    return CliRunner().invoke(main, ["generate", "--preset", preset, *SMALL, *arguments])


def done(*arguments: str, preset: str = "tiny") -> Result:
    result = run(*arguments, preset=preset)
    assert result.exit_code == 0, result.output
    return result


def parameters(path: str = "output.png") -> dict[str, str]:
    text = read_picture_text(path)
    assert text is not None
    return dict(parse_text(text).values)


def test_a_preset_gives_files_and_settings_and_flags_go_before(
    engine: FakeEngine, preset: list[Any]
) -> None:
    done("--models-dir", "a", "--models-dir", "b", "--steps", "2", "--clip_l", "mine")
    assert preset == [("tiny", (Path("a"), Path("b")))]
    assert engine.context is not None
    assert engine.context.diffusion_model_path == Path("tiny.gguf")
    assert engine.context.clip_l_path == Path("mine")
    (call,) = engine.calls
    assert (call.picture.steps, call.picture.guidance, call.picture.width) == (2, 1.5, 64)
    assert parameters()["Preset"] == "tiny"


def test_a_flag_counts_also_with_the_value_of_its_default(
    engine: FakeEngine, preset: list[Any]
) -> None:
    done("--steps", "20", "--guidance", "3.5")
    assert (engine.calls[0].picture.steps, engine.calls[0].picture.guidance) == (20, 3.5)


def test_an_autoencoder_that_is_named_takes_the_place_of_the_presets_tiny_one(
    engine: FakeEngine, preset: list[Any]
) -> None:
    done("--vae", "ae.safetensors")
    assert engine.context is not None
    assert engine.context.taesd_path is None
    done("--model", "full.safetensors")
    assert engine.context.diffusion_model_path is None


def test_kept_people_and_folders_are_people(
    engine: FakeEngine, preset: list[Any], enrolments: Enrolments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(Path("data").absolute()))
    keep_person("Dora", identity_of("dora"))
    done("--portrait", "dora", "-o", "{person}.png")
    assert parameters("Dora.png")["PuLID identity"] == identity_of("dora").short_hash
    done("--person", "DORA:weight=0.5", "--person", "bob.jpg", "-o", "{person}.png")
    assert parameters("Dora+bob.png")["PuLID weight 1"] == "0.5"
    assert "no kept person of this name; did you mean Dora?" in run("--portrait", "dor").stderr
    assert "face chooses on a photo" in run("--person", "dora:face=0").stderr
    Path("holiday").mkdir()
    for name in ("b.jpg", "a.jpg"):
        Path("holiday", name).write_bytes(b"a photo")
    enrolments.calls.clear()
    done("--portrait", "holiday", "-o", "{person}.png")
    assert enrolments.calls[0]["photos"] == [Path("holiday/a.jpg"), Path("holiday/b.jpg")]
    assert Path("holiday.png").exists()
    two = done("--person", "group.jpg:face=0", "--person", "group.jpg:face=2", "-o", "two.png")
    assert "number 1 is used (:face=1)" in two.stderr
    assert [call["face"] for call in enrolments.calls[1:]] == [0, 2]


def test_without_a_model_the_presets_are_named(engine: FakeEngine) -> None:
    result = CliRunner().invoke(main, ["generate", *SMALL])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "--preset" in line
    assert "flux-schnell-q4" in line
    assert "models pull" in line


def test_a_preset_that_is_not_there_is_one_line(engine: FakeEngine, preset: list[Any]) -> None:
    result = run(preset="lost")
    assert (result.exit_code, result.stderr) == (
        1, "error: preset lost: missing model files: a.gguf\n",
    )  # fmt: skip
    assert engine.context is None


def test_photos_of_one_person_become_one_identity(
    engine: FakeEngine, preset: list[Any], enrolments: Enrolments
) -> None:
    result = done("--portrait", "alice.jpg", "--portrait", "group.jpg", "--fusion", "mean",
                  "--face", "left", "--id-weight", "0.8", "--id-start-step", "20%",
                  "--id-end-step", "2")  # fmt: skip
    (call,) = enrolments.calls
    assert call["photos"] == [Path("alice.jpg"), Path("group.jpg")]
    assert (call["face"], call["fusion"]) == ("left", "mean")
    (made,) = engine.calls
    assert made.identity.sha256 == identity_of("alice").sha256
    assert made.person.weight == 0.8
    assert (made.person.start_step, made.person.end_step) == (0.2, 2)
    assert "extract" in result.stderr.splitlines()
    assert "group.jpg has 3 faces" in result.stderr
    assert "alice.jpg has" not in result.stderr


@pytest.mark.parametrize("flag", ["--portrait", "--pulid-id-embedding", "--person"])
def test_an_identity_file_is_read_and_nothing_extracted(
    engine: FakeEngine, preset: list[Any], enrolments: Enrolments, flag: str
) -> None:
    done(flag, "carol.pulidembd")
    assert engine.calls[0].identity.sha256 == identity_of("carol").sha256
    assert not enrolments.calls


def test_people_have_their_own_weights_and_places(
    engine: FakeEngine, preset: list[Any], enrolments: Enrolments
) -> None:
    done("--person", "alice.jpg:box=0,0,0.5,1", "--person", "carol.pulidembd:weight=0.5:end=50%",
         "--id-weight", "0.7", "-o", "{person}-{weight}.png")  # fmt: skip
    alice, carol = engine.calls[0].people
    assert (alice.weight, alice.region.box, alice.end_step) == (0.7, (0, 0, 0.5, 1), None)
    assert (carol.weight, carol.region, carol.end_step) == (0.5, None, 0.5)
    assert carol.identity.sha256 == identity_of("carol").sha256
    assert Path("alice+carol-0.7+0.5.png").is_file()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--portrait", "alice.jpg", "--person", "bob.jpg"], "--portrait and --person exclude"),
        (["--portrait", "alice.jpg", "--pulid-id-embedding", "carol.pulidembd"], "exclude"),
        (["--portrait", "alice.jpg", "--portrait", "carol.pulidembd"], "is an identity file"),
        (["--person", "bob.jpg:wight=1"], "'wight', but may have weight"),
        (["--person", "bob.jpg:weight=9"], "weight is 9"),
        (["--face", "left"], "--face is about photos"),
        (["--pulid-id-weight", "0.5"], "--id-weight is about a person, and none is given"),
        (["--id-start-step", "1"], "--id-start-step is about a person"),
        (["--id-end-step", "2"], "--id-end-step is about a person"),
        (["--person", "carol.pulidembd:face=0"], "face chooses on a photo"),
        (["--face", "left", "--portrait", "carol.pulidembd"], "--face is about photos"),
        (["--face", "up", "--portrait", "alice.jpg"], "'up'"),
        (["--fusion", "mean", "--portrait", "alice.jpg"], "--fusion is about several photos"),
        (["--preview", "alice.jpg", "--portrait", "alice.jpg"], "would replace alice.jpg"),
        (["--preview", "alice.jpg", "--person", "../work/alice.jpg:weight=1"], "would replace"),
        (["--preview", "a-face.png", "-o", "{prompt}.png"], "would replace a-face.png"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_loaded(
    engine: FakeEngine, preset: list[Any], enrolments: Enrolments, flags: list[str], words: str
) -> None:
    result = run(*flags)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert words in line
    assert engine.context is None
    assert not enrolments.calls


def test_a_preset_without_the_extractors_files_takes_no_photos(
    engine: FakeEngine, preset: list[Any]
) -> None:
    result = run("--portrait", "alice.jpg", preset="bare")
    assert (result.exit_code, result.stderr) == (1, "error: no extractor here\n")
    assert engine.context is None
    done("--portrait", "carol.pulidembd", preset="bare")


def test_photos_without_a_preset_need_the_extractors_files(engine: FakeEngine) -> None:
    files = ("--diffusion-model", "a.gguf", "--clip_l", "c", "--tae", "t", "--pulid-weights", "p")
    arguments = ["generate", *files, *SMALL, "--portrait", "alice.jpg"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "photos need the extractor's files" in result.stderr
    result = CliRunner().invoke(main, [*arguments, "--models-dir", "models"])
    assert result.exit_code == 1
    assert "models" in result.stderr  # where they were looked for


def test_folders_that_a_template_names_are_made(engine: FakeEngine, preset: list[Any]) -> None:
    done("-b", "2", "-s", "5", "-o", "{preset}/{person}/{index}-{seed}")
    assert sorted(os.listdir("tiny/nobody")) == ["0-5.png", "1-6.png"]
    done("-o", "absent/{seed}.png")
    assert os.listdir("absent") == ["42.png"]


def test_two_pictures_of_one_name_are_both_there(engine: FakeEngine, preset: list[Any]) -> None:
    result = done("-o", "{prompt}.png")
    assert result.stdout == "saved a-face.png (seed 42)\n"
    assert done("-o", "{prompt}.png").stdout == "saved a-face-2.png (seed 42)\n"


def test_programs_are_told_everything_in_objects(
    engine: FakeEngine, preset: list[Any], enrolments: Enrolments
) -> None:
    result = done("--json", "--portrait", "alice.jpg", "-b", "2", "--preview-path", "preview.png")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.stderr == ""
    kinds = [event["event"] for event in events]
    a_picture = ["stage", *["step", "preview"] * 3, "saved"]
    assert kinds == ["note", "stage", "note", "stage", *a_picture, *a_picture]
    saved = [event for event in events if event["event"] == "saved"]
    assert [(event["path"], event["seed"]) for event in saved] == [
        ("output_0.png", 42), ("output_1.png", 43),
    ]  # fmt: skip
    assert saved[1]["parameters"] == parameters("output_1.png")
    assert saved[0]["prompt"] == "a face"


def test_programs_are_told_errors_too(engine: FakeEngine, preset: list[Any]) -> None:
    for flags, status in ((["--steps", "0"], 2), (["-i", "absent.png"], 1)):
        result = run("--json", *flags)
        assert result.exit_code == status
        last = json.loads(result.stdout.splitlines()[-1])
        assert (last["event"], last["status"]) == ("error", status)
        assert result.stderr == f"error: {last['message']}\n"


def test_a_preview_is_as_large_as_the_picture_and_ends_as_it(
    engine: FakeEngine, preset: list[Any]
) -> None:
    seen = []
    make_step = engine.step

    def look(call: Call, step: int) -> None:
        make_step(call, step)
        if step:
            with Image.open("preview.png") as image:
                seen.append(image.size)

    engine.step = look  # type: ignore[method-assign]
    done("--preview", "preview.png")
    assert seen == [(64, 32)] * 3
    done("--preview", "preview.png", "-o", "output.png", "--overwrite")  # an earlier preview
    with Image.open("preview.png") as shown, Image.open("output.png") as made:
        assert shown.tobytes() == made.tobytes()


def test_a_preview_replaces_only_previews(engine: FakeEngine, preset: list[Any]) -> None:
    for name in ("text.png", "photo.png"):
        own = Path(name)
        if name == "text.png":
            own.write_bytes(b"mine")
        else:
            Image.new("RGB", (8, 8)).save(own)
        before = own.read_bytes()
        result = run("--preview", name)
        assert (result.exit_code, engine.calls) == (1, [])
        assert f"cannot write {name}: it exists" in result.stderr
        assert own.read_bytes() == before
    done("--preview", "text.png", "--overwrite")
    with Image.open("text.png") as shown:
        assert shown.size == (64, 32)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("alice.jpg", ["--portrait", "alice.jpg"]),
        ("bob.jpg", ["--person", "alice.jpg", "--person", "bob.jpg:box=0,0,0.5,1"]),
        ("mask.png", ["--person", "alice.jpg:mask=mask.png"]),
        ("in.png", ["--init-img", "in.png"]),
        ("mask.png", ["--init-img", "in.png", "--mask", "mask.png"]),
        ("in.png", ["--ref-image", "in.png"]),
    ],
)
def test_a_file_that_is_read_is_never_replaced(
    engine: FakeEngine, preset: list[Any], name: str, flags: list[str]
) -> None:
    Image.new("RGB", (64, 32), "white").save("in.png")
    Image.new("L", (64, 32), 200).save("mask.png")
    before = Path(name).read_bytes()
    result = run(*flags, "-o", name, "--overwrite")
    assert result.exit_code == 2, result.output
    assert f"the output {name} is a file that is read; name another" in result.stderr
    assert (engine.calls, Path(name).read_bytes()) == ([], before)


def test_the_sign_of_the_users_home_makes_no_folder_of_its_name(
    engine: FakeEngine, preset: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    done("-o", "~/{person}/{seed}.png", "-s", "7")
    assert (tmp_path / "home" / "nobody" / "7.png").is_file()
    assert not Path("~").exists()


def test_names_with_control_characters_are_refused(engine: FakeEngine, preset: list[Any]) -> None:
    for output in ("a\x1b[2Jb.png", "{person}\u202e/{seed}.png", "a\x9b.png"):
        result = run("-o", output)
        assert result.exit_code in (1, 2)
        assert "control character U+" in result.stderr
        assert result.stderr.isascii()
        assert result.stderr.rstrip("\n").isprintable()
    assert engine.context is None


def test_a_preview_that_cannot_be_written_costs_no_picture(
    engine: FakeEngine, preset: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    make_step = engine.step

    def remove_first(call: Call, step: int) -> None:
        if step == 0:
            (tmp_path / "gone").rmdir()
        make_step(call, step)

    engine.step = remove_first  # type: ignore[method-assign]
    result = done("--preview", str(tmp_path / "gone" / "preview.png"))
    assert result.stderr.count("note: no more previews") == 1
    assert Path("output.png").is_file()


def test_finished_pictures_are_kept_when_it_is_interrupted(
    engine: FakeEngine, preset: list[Any]
) -> None:
    make_step = engine.step

    def interrupted_third(call: Call, step: int) -> None:
        if call.picture.seed == 44:
            engine.failure = KeyboardInterrupt()
        make_step(call, step)

    engine.step = interrupted_third  # type: ignore[method-assign]
    result = run("-b", "4")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == ("interrupted; 2 of 4 pictures are finished and saved")
    assert sorted(path.name for path in Path().glob("*.png")) == ["output_0.png", "output_1.png"]


def test_plan_takes_a_preset(engine: FakeEngine, preset: list[Any]) -> None:
    result = CliRunner().invoke(main, ["plan", "--preset", "tiny"])
    assert result.exit_code == 1
    assert "tiny.gguf" in result.stderr  # the preset's file, which does not exist
    assert preset == [("tiny", ())]
