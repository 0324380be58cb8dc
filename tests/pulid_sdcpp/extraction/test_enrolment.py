"""Identities kept: what is found again, what is made anew, who may do so at once."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.errors import (
    IdentityFileError,
    ImageFileError,
    MissingDependencyError,
    ModelFileError,
)
from pulid_sdcpp.extraction import enrolment
from pulid_sdcpp.extraction.enrolment import Enroller
from pulid_sdcpp.identity import store as identity_store
from pulid_sdcpp.identity.identity_file import Identity, is_identity_file
from pulid_sdcpp.identity.store import find_identity, keep_identity

ROLES = ("pulid_weights", "eva", "parsing", "detector", "recogniser")


class Extractors:
    """Makes stand-in extractors; an identity follows from photos, face and fusion."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.extracted: list[dict[str, Any]] = []
        self.metadata: dict[str, Any] = {"extractor_version": "1", "detection_score": 0.9645,
                                         "face_box": [1, 2, 3, 4]}  # fmt: skip

    def __call__(self, **options: Any) -> Extractor:
        self.created.append(options)
        return Extractor(self)


class Extractor:
    def __init__(self, extractors: Extractors) -> None:
        self._extractors = extractors

    def extract(self, photo: Any, *, face: Any, fusion: str, on_face: Any) -> Identity:
        photos = photo if isinstance(photo, list) else [photo]
        self._extractors.extracted.append({"photos": photos, "face": face, "fusion": fusion})
        if on_face is not None:
            on_face(f"a face of {len(photos)}")
        return identity_of(photos, face, fusion, **self._extractors.metadata)


def identity_of(photos: list[Any], face: Any = "largest", fusion: str = "auto",
                **metadata: Any) -> Identity:  # fmt: skip
    contents = [
        path.read_bytes() if isinstance(path, Path) else np.asarray(path).tobytes()
        for path in photos
    ]
    seed = hashlib.sha256(repr((contents, face, fusion)).encode()).digest()
    tokens = np.random.default_rng(list(seed)).normal(size=(2, 32, 64))
    return Identity.from_array(*tokens, **metadata)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where identities are kept."""
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "identities"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {role: tmp_path / f"{role}.weights" for role in ROLES}
    for role, path in paths.items():
        path.write_text(role)
    return paths


@pytest.fixture
def extractors() -> Extractors:
    return Extractors()


@pytest.fixture
def enroller(files: dict[str, Path], extractors: Extractors) -> Enroller:
    return Enroller(files, create_extractor=extractors)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return draw(tmp_path / "me.png", 1)


def draw(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 48, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def assert_same(found: Identity, expected: Identity) -> None:
    assert np.array_equal(found.tokens, expected.tokens)
    assert found.uncond_tokens is not None
    assert expected.uncond_tokens is not None
    assert np.array_equal(found.uncond_tokens, expected.uncond_tokens)
    assert (found.metadata, found.dtype) == (expected.metadata, expected.dtype)


def kept(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.pulidembd"))


def test_a_photo_is_extracted_once(
    files: dict[str, Path], photo: Path, enroller: Enroller, extractors: Extractors, cache: Path
) -> None:
    first = enroller.enroll(photo)
    again = enroller.enroll(str(photo))
    of_another = Enroller(files, create_extractor=extractors).enroll([photo])
    assert_same(again, first)
    assert_same(of_another, first)
    assert first.metadata["face_box"] == (1, 2, 3, 4)
    assert len(extractors.created) == len(extractors.extracted) == 1
    assert extractors.created == [
        {**files, "aligner": "insightface", "device": "auto", "dtype": "auto"}
    ]
    assert extractors.extracted == [{"photos": [photo], "face": "largest", "fusion": "auto"}]
    assert len(kept(cache)) == 1


def test_it_is_what_extract_writes_to_a_file(
    enroller: Enroller, photo: Path, tmp_path: Path
) -> None:
    path = tmp_path / "me.pulidembd"
    identity_of([photo]).save(path)
    loaded = Identity.load(path)
    for found in (enroller.enroll(photo), enroller.enroll(photo)):
        assert np.array_equal(found.tokens, loaded.tokens)
        assert found.uncond_tokens is not None
        assert np.array_equal(found.uncond_tokens, loaded.uncond_tokens)


def test_the_name_of_a_photo_does_not_matter(
    enroller: Enroller, photo: Path, extractors: Extractors
) -> None:
    enroller.enroll(photo)
    enroller.enroll(photo.rename(photo.with_name("renamed.png")))
    assert len(extractors.extracted) == 1
    pixels = np.asarray(Image.open(photo.with_name("renamed.png")))
    enroller.enroll(pixels)
    enroller.enroll(Image.fromarray(pixels))
    assert len(extractors.extracted) == 2, "a file and its pixels have hashes of their own"


def test_one_photo_needs_no_fusion(enroller: Enroller, photo: Path, extractors: Extractors) -> None:
    enroller.enroll(photo, fusion="mean")
    enroller.enroll(photo)
    assert len(extractors.extracted) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"face": "left"}, {"face": 0}, {"face": (1, 2, 30, 40)}, {"fusion": "mean"},
        {"photos": 1}, {"photos": 3}, {"reverse": True},
        {"device": "cpu"}, {"dtype": "fp32"}, {"aligner": "retinaface"}, {"version": "0.0.0"},
        *({"weights": role} for role in ROLES),
    ],
    ids=str,
)  # fmt: skip
def test_whatever_changes_an_identity_makes_another(
    change: dict[str, Any], files: dict[str, Path], enroller: Enroller, extractors: Extractors,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path,
) -> None:  # fmt: skip
    photos = [draw(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    files["retinaface"] = tmp_path / "retinaface.pth"
    files["retinaface"].touch()
    enroller.enroll(photos[:2])
    if role := change.get("weights"):
        files[role].write_text("other weights")
    if version := change.get("version"):
        monkeypatch.setattr(enrolment, "package_version", lambda: version)
    others = photos[: change.get("photos", 2)]
    settings = {name: change[name] for name in ("device", "dtype", "aligner") if name in change}
    choice = {name: change[name] for name in ("face", "fusion") if name in change}
    other = Enroller(files, create_extractor=extractors, **settings)
    other.enroll(others[::-1] if "reverse" in change else others, **choice)
    assert len(extractors.extracted) == 2
    assert len(kept(cache)) == 2


def flipped(content: bytes) -> bytes:
    """A bit of the last tensor, which no format check sees."""
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"", lambda content: content[:100], lambda content: content[:-100],
        lambda content: b"GGUF" + bytes(500), lambda content: b"<html>", flipped,
        lambda content: content.replace(b"extractor_version", b"extractor_versiom"),
    ],
)  # fmt: skip
def test_a_damaged_entry_is_made_anew(
    damage: Callable[[bytes], bytes], enroller: Enroller, photo: Path, extractors: Extractors,
    cache: Path,
) -> None:  # fmt: skip
    first = enroller.enroll(photo)
    (entry,) = kept(cache)
    good = entry.read_bytes()
    entry.write_bytes(damage(good))
    assert_same(enroller.enroll(photo), first)
    assert len(extractors.extracted) == 2
    assert [path.read_bytes() for path in kept(cache)] == [good]


def test_an_entry_that_cannot_be_read_now_is_not_removed(
    enroller: Enroller, photo: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = enroller.enroll(photo)
    (entry,) = kept(cache)
    good = entry.read_bytes()

    def fail(path: object) -> Any:
        raise IdentityFileError(f"{path}: cannot read it: Too many open files")

    def fail_too(path: Path) -> Any:
        raise OSError("Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Identity, "load", fail)
        patched.setattr(identity_store, "open_regular", fail_too)
        assert find_identity(first.short_hash) is None
    assert entry.read_bytes() == good


def test_without_a_folder_it_works_without_a_cache(
    enroller: Enroller, photo: Path, extractors: Extractors, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "file").touch()
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "file"))
    assert_same(enroller.enroll(photo), enroller.enroll(photo))
    assert len(extractors.extracted) == 2
    keep_identity(enroller.enroll(photo))
    assert find_identity(enroller.enroll(photo).short_hash) is None


def test_the_cache_can_be_switched_off(photo: Path, extractors: Extractors, cache: Path) -> None:
    enroller = Enroller({"models_dir": "models"}, cache=False, create_extractor=extractors)
    enroller.enroll(photo)
    enroller.enroll(photo)
    assert len(extractors.extracted) == 2
    assert extractors.created[0]["models_dir"] == "models"
    assert not cache.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_the_folder_is_private(enroller: Enroller, photo: Path, cache: Path) -> None:
    enroller.enroll(photo)
    assert cache.stat().st_mode & 0o777 == 0o700
    (file,) = cache.glob("*.pulidembd")
    assert file.stat().st_mode & 0o777 == 0o600
    # As an earlier version may have left it.
    cache.chmod(0o755)
    file.chmod(0o644)
    enroller.enroll(photo)
    assert (cache.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_callers_are_told_only_of_work(enroller: Enroller, photo: Path) -> None:
    told: list[Any] = []
    for _ in range(2):
        enroller.enroll(photo, on_face=told.append, on_extract=lambda: told.append("extracting"))
    assert told == ["extracting", "a face of 1"]


def test_a_file_that_is_no_photo_costs_no_loading(
    enroller: Enroller, extractors: Extractors, tmp_path: Path
) -> None:
    (tmp_path / "me.jpg").write_text("no photo")
    with pytest.raises(ImageFileError, match=r"me\.jpg: expected a photo"):
        enroller.enroll(tmp_path / "me.jpg", on_extract=pytest.fail)
    assert extractors.created == []


def test_missing_weights_are_named(photo: Path, files: dict[str, Path]) -> None:
    del files["eva"]
    with pytest.raises(ModelFileError, match="missing model files: EVA02_CLIP_L_336_psz14_s6B"):
        Enroller(files).enroll(photo)


def test_mistakes(enroller: Enroller, photo: Path) -> None:
    with pytest.raises(ValueError, match="at least one photo"):
        enroller.enroll([])
    with pytest.raises(ValueError, match="face 'best': expected one of"):
        enroller.enroll(photo, face="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fusion 'median'"):
        enroller.enroll(photo, fusion="median")  # type: ignore[arg-type]


def test_a_photo_that_was_replaced_meanwhile_is_not_kept_as_the_first(
    enroller: Enroller, photo: Path, extractors: Extractors, cache: Path
) -> None:
    extractors.metadata["source_sha256"] = "ab" * 32
    enroller.enroll(photo)
    assert kept(cache) == []
    extractors.metadata["source_sha256"] = hashlib.sha256(photo.read_bytes()).hexdigest()
    enroller.enroll(photo)
    assert len(kept(cache)) == 1


def test_networks_are_loaded_anew_when_their_files_were_replaced(
    enroller: Enroller, photo: Path, extractors: Extractors, files: dict[str, Path], tmp_path: Path
) -> None:
    enroller.enroll(photo)
    enroller.enroll(draw(tmp_path / "other.png", 2))
    assert len(extractors.created) == 1
    files["eva"].write_text("other weights")
    enroller.enroll(photo)
    assert len(extractors.created) == 2


def test_close_frees_the_networks_and_they_can_be_loaded_again(
    files: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    alive: list[weakref.ref[Extractor]] = []

    def create(**options: Any) -> Extractor:
        extractor = Extractor(Extractors())
        alive.append(weakref.ref(extractor))
        return extractor

    with Enroller(files, create_extractor=create) as enroller:
        enroller.enroll(photo)
        assert alive[0]() is not None
    gc.collect()
    assert alive[0]() is None
    enroller.enroll(draw(tmp_path / "other.png", 2))
    assert len(alive) == 2


def test_without_the_extra_a_known_person_is_found_and_a_new_one_says_what_to_install(
    files: dict[str, Path], photo: Path, enroller: Enroller, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    known = enroller.enroll(photo)
    for package in ("torch", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    assert_same(Enroller(files).enroll(photo), known)
    with pytest.raises(MissingDependencyError, match=r"extra \[photos\]: pip install "):
        Enroller(files).enroll(draw(tmp_path / "new.png", 2))


def test_threads(enroller: Enroller, extractors: Extractors, tmp_path: Path) -> None:
    """Eight threads, five people, each asked for eight times: each extracted once, none mixed."""
    photos = [draw(tmp_path / f"{seed}.png", seed) for seed in range(5)]
    ready = threading.Barrier(8)

    def enroll_all(first: int) -> list[str]:
        ready.wait()
        order = [(first + step) % 5 for step in range(5)]
        found = {number: enroller.enroll(photos[number]).sha256 for number in order}
        return [found[number] for number in range(5)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(enroll_all, range(8)))
    assert found == [[identity_of([photo]).sha256 for photo in photos]] * 8
    assert len(extractors.extracted) == 5
    assert len(extractors.created) == 1


PROCESS = """
import sys, time
from pathlib import Path
import numpy as np
from pulid_sdcpp.extraction.enrolment import Enroller
from pulid_sdcpp.identity.identity_file import Identity

folder, name = Path(sys.argv[1]), sys.argv[2]

class Extractor:
    def __init__(self, **options): pass
    def extract(self, photo, **options):
        (folder / f"{name}.working").touch()
        while len(list(folder.glob("*.working"))) < 2:
            time.sleep(0.01)
        return Identity.from_array(np.full((32, 64), 0.25))

files = {path.stem: path for path in folder.glob("*.weights")}
print(Enroller(files, create_extractor=Extractor).enroll(folder / "me.png").sha256)
"""


def test_two_processes_at_once_both_succeed(
    files: dict[str, Path], photo: Path, cache: Path, enroller: Enroller, extractors: Extractors
) -> None:
    """Both are known to be extracting when either writes."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(photo.parent), name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in ("first", "second")
    ]  # fmt: skip
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    expected = Identity.from_array(np.full((32, 64), 0.25)).sha256
    assert [output.strip() for output, _ in outputs] == [expected, expected]
    assert [errors for _, errors in outputs] == ["", ""]
    assert len(kept(cache)) == 1
    assert enroller.enroll(photo).sha256 == expected
    assert extractors.extracted == []


def test_an_enrolled_identity_is_not_kept_twice(
    enroller: Enroller, photo: Path, cache: Path
) -> None:
    keep_identity(enroller.enroll(photo))
    keep_identity(enroller.enroll(photo))
    assert len(kept(cache)) == 1


def test_is_identity_file(photo: Path, tmp_path: Path) -> None:
    path = tmp_path / "me.jpg"  # whatever it is called
    identity_of([photo]).save(path)
    assert is_identity_file(path)
    assert not is_identity_file(photo)
    assert not is_identity_file(tmp_path)
    assert not is_identity_file(tmp_path / "absent")


@pytest.mark.extract
def test_the_pocket_model_enrols_and_a_known_person_needs_no_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from pulid_extractor import IdentityExtractor
    from pulid_sdcpp.pocket.pack import pocket_files

    files = pocket_files()
    told: list[Any] = []
    with Enroller({"models_dir": files.models_dir}, device="cpu") as enroller:
        enrolled = enroller.enroll(files.portraits[0], on_face=told.append)
        both = enroller.enroll(files.portraits[:2])
        assert both.metadata["fusion"] == "idformer"
        assert both.sha256 != enrolled.sha256
    assert told[0].photo == str(files.portraits[0])
    extracted = IdentityExtractor(files.models_dir, device="cpu").extract(files.portraits[0])
    assert enrolled.sha256 == extracted.sha256
    code = (
        "import sys; from pulid_sdcpp.extraction.enrolment import Enroller;"
        "print(Enroller({'models_dir': sys.argv[1]}, device='cpu').enroll(sys.argv[2]).sha256,"
        "*{'torch', 'cv2', 'insightface', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(files.models_dir), str(files.portraits[0])],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [enrolled.sha256]


def test_bytes_are_the_photo_that_the_file_is(
    enroller: Enroller, extractors: Extractors, photo: Path
) -> None:
    first = enroller.enroll(photo)
    content = photo.read_bytes()
    with open(photo, "rb") as file:
        for source in (content, io.BytesIO(content), file, [content]):
            assert_same(enroller.enroll(source), first)
    assert len(extractors.extracted) == 1


def test_an_open_file_is_read_once(enroller: Enroller, extractors: Extractors, photo: Path) -> None:
    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

    content = photo.read_bytes()
    enroller.enroll([Stream(content), Stream(content)])
    assert extractors.extracted[0]["photos"] == [content, content]


def test_what_was_said_of_a_photo_is_said_again(
    enroller: Enroller, extractors: Extractors, photo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    extractors.metadata["photo_warnings"] = ["small_face 1 64", "several_faces 1 3"]
    enroller.enroll(photo)
    assert not caplog.messages  # the extractor says it the first time
    known = enroller.enroll(photo)
    assert [warning.code for warning in known.photo_warnings] == ["small_face", "several_faces"]
    (message,) = caplog.messages
    assert message.startswith(f"{photo}: the face is 64 pixels wide")
