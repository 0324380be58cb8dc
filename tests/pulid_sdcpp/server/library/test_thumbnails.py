"""Small pictures: their size, and that they are made once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from pulid_sdcpp.pictures.png_text import save_picture
from pulid_sdcpp.server.library import thumbnails
from pulid_sdcpp.server.library.thumbnails import THUMBNAIL_SIDE_PX, thumbnail, thumbnail_path

from ..picture_drafts import noise


@pytest.mark.parametrize(
    ("size", "small"), [((1024, 512), (384, 192)), ((100, 768), (50, 384)), ((64, 48), (64, 48))]
)
def test_a_webp_that_fits_without_text(
    tmp_path: Path, size: tuple[int, int], small: tuple[int, int]
) -> None:
    path = tmp_path / "000.png"
    save_picture(noise(*size), path, "a secret prompt")
    content = thumbnail(path)
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size, max(small) <= THUMBNAIL_SIDE_PX) == ("WEBP", small, True)
    assert b"secret" not in content
    assert thumbnail_path(path).read_bytes() == content


def test_it_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "000.png"
    save_picture(noise(), path)
    first = thumbnail(path)
    monkeypatch.setattr(thumbnails, "read_image", lambda path: pytest.fail("decoded again"))
    assert thumbnail(path) == first


def test_a_disk_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "000.png"
    save_picture(noise(), path)
    content = path.read_bytes()
    thumbnail_path(path).mkdir()
    assert thumbnail(path)[:4] == b"RIFF"
    assert path.read_bytes() == content
