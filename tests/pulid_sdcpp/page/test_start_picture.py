"""What is painted over a picture comes from a browser, as any other picture."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from pulid_sdcpp.page.start_picture import painted_mask
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.limits import Limits


def field_value(folder: Path, *layers: Image.Image, kind: str = "PNG") -> Any:
    files = []
    for number, layer in enumerate(layers):
        layer.save(folder / str(number), kind)
        files.append(SimpleNamespace(path=str(folder / str(number))))
    return SimpleNamespace(background=None, layers=files)


def paint(left: int, alpha: int = 255) -> Image.Image:
    layer = Image.new("RGBA", (8, 4))
    layer.paste((200, 10, 10, alpha), (left, 0, left + 2, 4))
    return layer


def test_the_mask_is_white_where_somebody_painted(tmp_path: Path) -> None:
    mask = painted_mask(field_value(tmp_path, paint(0), paint(4)), Limits())
    assert mask is not None
    with Image.open(io.BytesIO(mask)) as picture:
        row = np.asarray(picture)[0]
    assert row.tolist() == [255, 255, 0, 0, 255, 255, 0, 0]


def test_nothing_is_painted(tmp_path: Path) -> None:
    assert painted_mask(None, Limits()) is None
    assert painted_mask(field_value(tmp_path, paint(0, alpha=15)), Limits()) is None


@pytest.mark.parametrize(
    ("size", "kind", "code"),
    [((9000, 100), "PNG", "image_too_large"), ((8000, 8000), "PNG", "image_too_large"),
     ((8, 8), "TIFF", "bad_image"), ((8, 8), "GIF", "bad_image")],
)  # fmt: skip
def test_a_layer_is_held_to_the_limits_of_pictures(
    size: tuple[int, int], kind: str, code: str, tmp_path: Path
) -> None:
    value = field_value(tmp_path, Image.new("L", size, 255), kind=kind)
    with pytest.raises(ApiError) as error:
        painted_mask(value, Limits())
    assert error.value.code == code


def test_a_browser_that_sends_a_thousand_layers_has_four_read(tmp_path: Path) -> None:
    value = field_value(tmp_path, *[paint(0)] * 4)
    value.layers += [SimpleNamespace(path=str(tmp_path / "0"))] * 1000
    value.layers[4] = SimpleNamespace(path=str(tmp_path / "none.png"))
    (tmp_path / "none.png").write_bytes(b"no picture")
    assert painted_mask(value, Limits()) is not None
