"""The Python example of docs/pocket.md, on the shipped model."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from PIL import Image

from pulid_sdcpp.pocket_model import MANIFEST_NAME, PACK_FOLDER

PAGE = Path(__file__).resolve().parents[1] / "docs" / "pocket.md"


@pytest.mark.engine
@pytest.mark.extract
@pytest.mark.skipif(
    not (PACK_FOLDER / MANIFEST_NAME).is_file() and os.environ.get("PULID_REQUIRE_POCKET") != "1",
    reason="the pocket model is not in this folder",
)
def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path))
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.S | re.M)
    names: dict[str, object] = {}
    exec(example, names)
    (picture,) = names["pictures"]  # type: ignore[misc]
    assert isinstance(picture, Image.Image)
    assert picture.size == (128, 128)
