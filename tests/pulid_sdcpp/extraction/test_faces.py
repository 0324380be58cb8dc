"""Faces of a photo, listed for who is to choose one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.errors import FaceNotFoundError, ModelFileError
from pulid_sdcpp.extraction.faces import list_faces
from pulid_sdcpp.extraction.files import file_in_folder
from pulid_sdcpp.pocket.pack import pocket_files

pytest.importorskip("insightface")
pytestmark = pytest.mark.extract


def test_faces_are_counted_from_the_left_and_placed_in_the_photo_itself() -> None:
    files = pocket_files()
    photo = Image.new("RGB", (1800, 768), (120, 150, 180))  # reduced by 1024 / 1800
    for path, left, side in zip(files.portraits[:2], (0, 1080), (768, 600), strict=True):
        with Image.open(path) as portrait:
            photo.paste(portrait.convert("RGB").resize((side, side)), (left, 768 - side))
    found = list_faces(photo, file_in_folder(files.models_dir, "detector"))
    assert found.pixels.shape == (436, 1024, 3)
    assert found.pixels.dtype == np.uint8
    first, second = found.faces
    assert {"largest", "left"} <= set(first.words)
    assert "right" in second.words
    for face in found.faces:
        left, top, right, bottom = (edge * 1800 / 1024 for edge in face.box)
        assert face.place == pytest.approx((left, top, right - left, bottom - top), rel=1e-3)
        assert 0.5 < face.score <= 1
    assert first.place[0] < 768 < 1080 < second.place[0]


def test_a_photo_without_a_face_and_a_folder_without_a_detector(tmp_path: Path) -> None:
    detector = file_in_folder(pocket_files().models_dir, "detector")
    with pytest.raises(FaceNotFoundError):
        list_faces(Image.new("RGB", (256, 256), "white"), detector)
    with pytest.raises(ModelFileError, match="SCRFD face detector"):
        file_in_folder(tmp_path, "detector")
