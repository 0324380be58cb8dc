from __future__ import annotations

import inspect
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands import extract as extract_module
from pulid_sdcpp.cli.commands.extract import identity_jobs
from pulid_sdcpp.errors import FaceNotFoundError, MissingDependencyError
from pulid_sdcpp.extraction import extractor as extractor_module
from pulid_sdcpp.identity.identity_file import Identity


class FakeExtractor:
    def __init__(self, **options: Any) -> None:
        self.options = options
        self.calls: list[tuple[Any, Any]] = []
        self.fusions: list[str] = []
        self.without_a_face: set[Path] = set()

    def create(self, **options: Any) -> FakeExtractor:
        self.options = options
        return self

    def extract(self, photo: Any, face: Any, fusion: str, on_face: Any) -> Identity:
        self.calls.append((photo, face))
        self.fusions.append(fusion)
        for number, path in enumerate(photo if isinstance(photo, list) else [photo]):
            if path in self.without_a_face:
                raise FaceNotFoundError(f"{path}: no face found")
            if on_face is not None:
                box, n_faces = (10, 20, 110, 140 + number), 1 + 3 * number
                on_face(SimpleNamespace(photo=str(path), box=box, score=0.873, index=2 * number,
                                        n_faces=n_faces))  # fmt: skip
        return Identity.from_array(np.full((32, 2048), 0.25, np.float32))


@pytest.fixture
def extractor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeExtractor:
    fake = FakeExtractor()
    monkeypatch.setattr(extractor_module, "load_extractor", fake.create)
    monkeypatch.chdir(tmp_path)
    Path("me.jpg").write_bytes(b"photo")
    Path("too.jpg").write_bytes(b"photo")
    Path("models").mkdir()
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["extract", *arguments])


def test_a_photo_becomes_an_identity_file(extractor: FakeExtractor) -> None:
    result = run("me.jpg", "-o", "alice.pulidembd", "--models-dir", "weights", "--dtype", "bf16")
    assert result.exit_code == 0, result.output
    identity = Identity.load("alice.pulidembd")
    assert identity.dtype == "f16"
    lines = result.stdout.splitlines()
    assert lines[0] == "me.jpg: face at 10,20,100,120 (x, y, width, height), score 0.87"
    assert lines[1] == f"identity {identity.short_hash}: 32 tokens of 2048, f16"
    assert lines[2].startswith("saved alice.pulidembd (131 KB, ")
    assert extractor.options == {
        "models_dir": Path("weights"),
        "aligner": "insightface",
        "engine": "auto",
        "device": "auto",
        "dtype": "bf16",
    }
    assert extractor.calls == [(Path("me.jpg"), "largest")]


def test_several_photos_are_given_together(extractor: FakeExtractor) -> None:
    result = run("me.jpg", "too.jpg", "--face", "1", "--save-dtype", "f32", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert extractor.calls == [([Path("me.jpg"), Path("too.jpg")], 1)]
    assert extractor.fusions == ["auto"]
    assert Identity.load("me.pulidembd").dtype == "f32"


def test_a_folder_is_all_its_photos_by_name(extractor: FakeExtractor) -> None:
    folder = Path("holiday")
    (folder / "inside.jpg").mkdir(parents=True)
    for name in ("c.HEIC", "a.png", "b.jpg", "notes.txt", ".hidden.jpg"):
        (folder / name).write_bytes(b"photo")
    result = run("me.jpg", "holiday", "-o", "all.pulidembd")
    assert result.exit_code == 0, result.output
    photos = [Path("me.jpg"), folder / "a.png", folder / "b.jpg", folder / "c.HEIC"]
    assert extractor.calls == [(photos, "largest")]


def test_face_by_box_and_fusion_by_mean(extractor: FakeExtractor) -> None:
    result = run("me.jpg", "too.jpg", "--face", "10, 20,110,140.5", "--fusion", "mean")
    assert result.exit_code == 0, result.output
    assert extractor.calls[0][1] == (10, 20, 110, 140.5)
    assert extractor.fusions == ["mean"]


def test_the_files_of_a_preset(extractor: FakeExtractor, tmp_path: Path) -> None:
    result = run("me.jpg", "--preset", "pocket")
    assert result.exit_code == 0, result.output
    files = {name: path for name, path in extractor.options.items() if isinstance(path, Path)}
    assert set(files) == {"detector", "recogniser", "eva", "parsing", "pulid_weights"}
    assert all(path.is_file() for path in files.values())
    assert run("too.jpg", "--preset", "pocket", "--pulid-weights", "own").exit_code == 0
    assert extractor.options["pulid_weights"] == Path("own")


def test_what_a_preset_lacks_is_named_and_how_to_get_it(
    extractor: FakeExtractor, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    result = run("me.jpg", "--preset", "flux-schnell-q4", "--models-dir", str(folder))
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "preset flux-schnell-q4: missing model files: pulid_flux_v0.9.1.safetensors" in line
    assert "flux1-schnell" not in line, "extraction needs no Flux"
    assert "pulid-sdcpp models pull extraction', all of the preset with 'models pull flux-s" in line
    assert not extractor.options


def test_which_face_was_taken_is_said_of_each_photo(extractor: FakeExtractor) -> None:
    result = run("me.jpg", "too.jpg", "--aligner", "retinaface")
    assert result.stdout.splitlines()[:2] == [
        "me.jpg: face at 10,20,100,120 (x, y, width, height), score 0.87",
        "too.jpg: face at 10,20,100,121 (x, y, width, height), score 0.87, --face 2 of 0 to 3",
    ]
    assert extractor.options["aligner"] == "retinaface"


def test_each_photo_can_be_another_person(extractor: FakeExtractor) -> None:
    Path("people").mkdir()
    result = run("me.jpg", "too.jpg", "--each", "-o", "people", "--face", "left")
    assert result.exit_code == 0, result.output
    assert extractor.calls == [(Path("me.jpg"), "left"), (Path("too.jpg"), "left")]
    assert sorted(os.listdir("people")) == ["me.pulidembd", "too.pulidembd"]
    assert [line.split(" (")[0] for line in result.stdout.splitlines() if "saved" in line] == [
        f"saved {Path('people', 'me.pulidembd')}", f"saved {Path('people', 'too.pulidembd')}",
    ]  # fmt: skip


def test_one_bad_photo_of_a_batch_does_not_cost_the_others(extractor: FakeExtractor) -> None:
    extractor.without_a_face = {Path("me.jpg")}
    result = run("me.jpg", "too.jpg", "--each")
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert errors == ["error: me.jpg: no face found", "error: 1 of 2 photos failed"]
    assert sorted(os.listdir()) == ["me.jpg", "models", "too.jpg", "too.pulidembd"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["me.jpg", "-o", "rose.pulidembd"],
        ["rose.jpg"],
        ["me.jpg", "rose.jpg", "--each"],
        ["rose.jpg", "-o", "."],
    ],
)
def test_an_identity_that_is_there_is_kept(extractor: FakeExtractor, arguments: list[str]) -> None:
    Path("rose.jpg").write_bytes(b"photo")
    rose = Identity.from_array(np.ones((32, 2048), np.float32))
    rose.save("rose.pulidembd")
    result = run(*arguments)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "cannot write rose.pulidembd: it exists; name another file, or allow to replace" in line
    assert not extractor.options, "nothing is loaded"
    assert Identity.load("rose.pulidembd").sha256 == rose.sha256
    assert not Path("me.pulidembd").exists()
    assert run(*arguments, "--overwrite").exit_code == 0
    assert Identity.load("rose.pulidembd").sha256 != rose.sha256


def test_of_two_commands_at_once_the_first_ones_identity_stays(
    extractor: FakeExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract(*arguments: Any, **options: Any) -> Identity:
        Path("me.pulidembd").write_bytes(b"the other's")
        return Identity.from_array(np.ones((32, 2048), np.float32))

    monkeypatch.setattr(extractor, "extract", extract)
    result = run("me.jpg")
    assert result.exit_code == 1
    assert "cannot write me.pulidembd: it exists" in result.stderr
    assert Path("me.pulidembd").read_bytes() == b"the other's"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_an_identity_is_for_its_owner_only(extractor: FakeExtractor) -> None:
    assert run("me.jpg").exit_code == 0
    assert Path("me.pulidembd").stat().st_mode & 0o777 == 0o600
    Path("me.pulidembd").chmod(0o644)
    assert run("me.jpg", "--overwrite").exit_code == 0
    assert Path("me.pulidembd").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["precious.png", "me.safetensors", "alice", "a.txt"])
def test_a_name_of_something_else_is_refused(extractor: FakeExtractor, name: str) -> None:
    result = run("me.jpg", "-o", name, "--overwrite")
    assert result.exit_code == 2
    assert "an identity file's name ends in .pulidembd or .gguf" in result.stderr
    assert not Path(name).exists()


def test_identity_jobs(tmp_path: Path) -> None:
    photos = [tmp_path / "a" / "me.jpg", tmp_path / "b" / "you.png"]
    for photo in photos:
        photo.parent.mkdir()
        photo.touch()
    beside = [photo.with_suffix(".pulidembd") for photo in photos]
    both, single = tuple(photos), [(photo,) for photo in photos]
    assert identity_jobs(photos, None, each=False) == [(both, beside[0])]
    assert identity_jobs(photos, tmp_path, each=False) == [(both, tmp_path / "me.pulidembd")]
    named = tmp_path / "x.gguf"
    assert identity_jobs(photos, named, each=False) == [(both, named)]
    assert identity_jobs(photos, None, each=True) == list(zip(single, beside, strict=True))
    assert identity_jobs(photos, tmp_path, each=True) == [
        (single[0], tmp_path / "me.pulidembd"), (single[1], tmp_path / "you.pulidembd"),
    ]  # fmt: skip
    assert identity_jobs(photos[:1], named, each=True) == [(single[0], named)]
    with pytest.raises(click.UsageError, match=r"must be an existing folder; .*f is not"):
        identity_jobs(photos, named, each=True)
    (tmp_path / "me.png").touch()
    with pytest.raises(click.UsageError, match=r"me\.jpg and .*me\.png would both be written to"):
        identity_jobs([photos[0], tmp_path / "me.png"], tmp_path, each=True)
    (tmp_path / "link").symlink_to(photos[1])
    with pytest.raises(ValueError, match="link is a file that is read"):
        identity_jobs(photos, tmp_path / "link", each=False)
    for name in ("x", "x.png", "x.safetensors"):
        with pytest.raises(click.UsageError, match=r"name ends in \.pulidembd or \.gguf"):
            identity_jobs(photos, tmp_path / name, each=False)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "Missing argument 'PHOTO...'"),
        (["absent.jpg"], 1, "absent.jpg: no such file; expected a photo"),
        (["models"], 1, "models: there is no photo in this folder"),
        ([""], 2, "it is empty; name a photo"),
        (["me.jpg", "--face", "best"], 2, "'best': expected one of largest"),
        (["me.jpg", "--face", "1,2,3"], 2, "'1,2,3': expected one of largest"),
        (["me.jpg", "--face", "1,2,3,0"], 2, "width and height more than 0"),
        (["me.jpg", "--fusion", "median"], 2, "'median' is not one of"),
        (["me.jpg", "--preset", "nonsense"], 2, "there is no preset 'nonsense'"),
        (["me.jpg", "--dtype", "int4"], 2, "'int4' is not one of"),
        (["me.jpg", "-o", "me.jpg"], 2, "is a file that is read"),
        (["me.jpg", "too.jpg", "--each", "-o", "all"], 2, "an existing folder; all is not"),
        (["me.jpg", "--aligner", "dlib"], 2, "'dlib' is not one of"),
        (["https://example.org/me.jpg"], 2, "is a web address; download the photo first"),
        (["me.jpg", "-o", "me.jpg/a.pulidembd"], 1, "me.jpg is a file, not a folder"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_loaded(
    extractor: FakeExtractor, arguments: list[str], status: int, words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == status
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not extractor.options


def test_a_photo_without_a_face_leaves_no_file(extractor: FakeExtractor) -> None:
    extractor.without_a_face = {Path("me.jpg")}
    result = run("me.jpg")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: me.jpg: no face")
    assert sorted(os.listdir()) == ["me.jpg", "models", "too.jpg"]


def test_without_the_extra_the_error_says_what_to_install(
    extractor: FakeExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(**options: Any) -> Any:
        raise MissingDependencyError('torch is not installed: pip install "pulid-sdcpp[extract]"')

    monkeypatch.setattr(extractor_module, "load_extractor", absent)
    result = run("me.jpg")
    assert result.exit_code == 1
    assert 'pip install "pulid-sdcpp[extract]"' in result.stderr


def test_choices_and_defaults_are_those_of_the_extractor() -> None:
    pytest.importorskip("torch")
    from pulid_extractor import IdentityExtractor, extract
    from pulid_extractor.compute import DTYPES

    options = {option.name: option for option in extract_module.extract.params}
    for name, choices in (("dtype", {"auto", *DTYPES}), ("aligner", {*extract.ALIGNERS})):
        kind = options[name].type
        assert isinstance(kind, click.Choice)
        assert set(kind.choices) == choices
    created = inspect.signature(IdentityExtractor).parameters
    for name in ("aligner", "device", "dtype"):
        assert options[name].get_default(click.Context(extract_module.extract)) == (
            created[name].default
        )
    extracted = inspect.signature(IdentityExtractor.extract).parameters
    for name in ("face", "fusion"):
        assert options[name].get_default(click.Context(extract_module.extract)) == (
            extracted[name].default
        )
