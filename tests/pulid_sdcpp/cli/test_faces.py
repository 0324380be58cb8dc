"""`pulid-sdcpp faces`: a line and a number on the picture for each face."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from pulid_sdcpp.cli import main
from pulid_sdcpp.identity.face_choice import FaceChoice, parse_face_choice
from pulid_sdcpp.pocket.pack import PACK_FOLDER, pocket_files

pytest.importorskip("insightface")
pytestmark = pytest.mark.extract


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two drawn people side by side, 900 x 384, the right one smaller."""
    monkeypatch.chdir(tmp_path)
    both = Image.new("RGB", (900, 384), (120, 150, 180))
    for path, left, side in zip(pocket_files().portraits[:2], (0, 540), (384, 300), strict=True):
        with Image.open(path) as portrait:
            both.paste(portrait.convert("RGB").resize((side, side)), (left, 40 if left else 0))
    path = tmp_path / "both.png"
    both.save(path)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["faces", *map(str, arguments)])


def chosen(line: str) -> tuple[FaceChoice, FaceChoice]:
    place = r"(\S+) \(x, y, width, height\)"
    found = re.fullmatch(rf"--face (\d+)  at {place}  score 0\.\d\d(  [a-z, ]+)?", line)
    assert found, line
    return parse_face_choice(found[1]), parse_face_choice(found[2])


def test_every_face_has_a_line_and_a_picture_is_saved(photo: Path) -> None:
    result = run("both.png", "--preset", "pocket")
    assert result.exit_code == 0, result.output
    first, second, saved = result.stdout.splitlines()
    assert first.endswith("  largest, left, center") or first.endswith("  largest, left")
    assert "right" in second
    assert saved == "saved both-faces.png"
    with Image.open("both-faces.png") as preview:
        assert preview.size == (900, 384)
        changed = np.abs(np.asarray(preview).astype(int) - np.asarray(Image.open(photo))).max(-1)
    assert 0.005 < (changed > 60).mean() < 0.2


def test_its_numbers_and_places_choose_the_same_face(photo: Path) -> None:
    from pulid_extractor.face_selection import select_face
    from pulid_extractor.faces import FaceDetector
    from pulid_extractor.photo import load_photo

    looked_at = load_photo(photo)
    found = FaceDetector(pocket_files().detector).find(looked_at)
    height, width = looked_at.pixels.shape[:2]
    for line in run("both.png", "--preset", "pocket").stdout.splitlines()[:2]:
        number, box = (
            select_face(found, choice, width_px=width, height_px=height) for choice in chosen(line)
        )
        assert number is box


def test_places_are_in_pixels_of_the_photo_as_given(photo: Path) -> None:
    small = [
        chosen(line)[1] for line in run("both.png", "--preset", "pocket").stdout.splitlines()[:2]
    ]
    with Image.open(photo) as picture:
        picture.resize((2700, 1152)).save("large.png")
    result = run("large.png", "--preset", "pocket")
    large = [chosen(line)[1] for line in result.stdout.splitlines()[:2]]
    np.testing.assert_allclose(np.array(large) / 3, np.array(small), atol=15)


def test_nothing_is_replaced_unless_told(photo: Path) -> None:
    for expected in ("mine.png", "mine-2.png", "mine-3.png"):
        assert run("both.png", "--preset", "pocket", "-o", "mine.png").stdout.endswith(
            f"saved {expected}\n"
        )
    Path("mine.png").write_text("old")
    result = run("both.png", "--preset", "pocket", "-o", "mine.png", "--overwrite")
    assert result.stdout.endswith("saved mine.png\n")
    assert Path("mine.png").read_bytes()[1:4] == b"PNG"
    assert not Path("mine-4.png").exists()


def test_a_file_that_comes_while_it_works_is_kept(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulid_sdcpp.pictures import face_preview

    draw = face_preview.face_preview

    def draw_late(*arguments: Any) -> Any:
        Path("both-faces.png").write_bytes(b"mine")
        return draw(*arguments)

    monkeypatch.setattr(face_preview, "face_preview", draw_late)
    assert run("both.png", "--preset", "pocket").stdout.endswith("saved both-faces-2.png\n")
    assert Path("both-faces.png").read_bytes() == b"mine"


def test_it_needs_the_detector_only_and_no_torch(photo: Path) -> None:
    Path("models").mkdir()
    shutil.copy(PACK_FOLDER / "antelopev2" / "scrfd_10g_bnkps.onnx", "models")
    code = """
import sys
from pulid_sdcpp.cli import main
try:
    main(["faces", "both.png"])
finally:
    print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=photo.parent
    )
    assert done.stdout.splitlines()[-2:] == ["saved both-faces.png", "False"]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["absent.png"], 1, "absent.png: no such file; expected a photo"),
        (["."], 1, "expected a photo, found a folder"),
        (["https://example.org/me.jpg"], 2, "is a web address; download the photo first"),
        (
            ["both.png", "-o", "both.png", "--preset", "pocket"],
            2,
            "both.png is a file that is read",
        ),
        (["both.png", "-o", "both.txt", "--preset", "pocket"], 2, ".txt is not a picture format"),
        (
            ["both.png", "-o", "both.png/a.png", "--preset", "pocket"],
            1,
            "both.png is a file, not a folder",
        ),
        (["both.png"], 1, "missing model files: scrfd_10g_bnkps.onnx (17 MB); get them with"),
        (["both.png", "--models-dir", "m"], 1, "m: expected the models folder, found nothing"),
        (["both.png", "--models-dir", "."], 1, "the SCRFD face detector scrfd_10g_bnkps.onnx is"),
        (["both.png", "--preset", "nonsense"], 2, "there is no preset 'nonsense'"),
        (["both.png", "--preset", "flux-dev-q4"], 1, "missing model files: scrfd_10g_bnkps.onnx"),
        (["wall.png", "--preset", "pocket"], 1, "wall.png: no face found"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_picture(
    photo: Path, arguments: list[str], status: int, words: str
) -> None:
    Image.new("RGB", (100, 100), "white").save("wall.png")
    result = run(*arguments)
    assert result.exit_code == status, result.output
    (line,) = result.stderr.splitlines()
    assert words in line
    assert sorted(path.name for path in photo.parent.iterdir()) == ["both.png", "wall.png"]
