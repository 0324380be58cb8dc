"""What is kept beside an identity, and what of it may be missing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.errors import MissingDependencyError
from pulid_sdcpp.extraction.face_looker import LookedAt, SeenFace
from pulid_sdcpp.server.calls.enrolment import EnrolmentWork
from pulid_sdcpp.server.engine.engine_errors import EngineCrashedError
from pulid_sdcpp.server.library.face_looks import Recognisers


def seen(photos: int, folder: Path, *, thumbnails: bool = True, error: Any = None) -> Any:
    """What the work saw of photos with two faces each, of which the right one is chosen."""
    asked: list[Any] = []

    async def recognise(picture: Path, choice: Any) -> tuple[LookedAt, Recognisers]:
        asked.append((picture.name, choice))
        if error is not None:
            raise error
        numbers = np.array([1.0, len(asked)], np.float32)
        faces = (
            SeenFace(0, (0, 0, 20, 20), 0.7, ("left",)),
            SeenFace(1, (30, 10, 20, 20), 0.98765, ("right",), {"own:1": numbers}),
        )
        return LookedAt(64, 48, faces, 1), Recognisers("own:1")

    paths = []
    for number in range(photos):
        paths.append(folder / f"{number}.png")
        Image.new("RGB", (64, 48), "red").save(paths[-1])
    service: Any = SimpleNamespace(
        looks=SimpleNamespace(recognise=recognise), settings=SimpleNamespace(thumbnails=thumbnails)
    )
    found = asyncio.run(EnrolmentWork(service)._look(paths, "right"))
    assert [choice for _, choice in asked] == ["right"] * len(asked)
    return found


def test_every_photo_is_looked_at_and_the_chosen_face_counts(tmp_path: Path) -> None:
    found = seen(2, tmp_path)
    face = {"number": 1, "box": [30, 10, 20, 20], "score": 0.9877, "of": 2}
    assert found.faces == ({"width": 64, "height": 48, "face": face},) * 2
    one, two = np.array([1, 1]) / 2**0.5, np.array([1, 2]) / 5**0.5
    mean = (one + two) / np.linalg.norm(one + two)
    np.testing.assert_allclose(found.references["own:1"], mean, atol=1e-6)
    assert found.preview.startswith(b"\xff\xd8")


def test_no_picture_of_a_face_is_kept_where_none_is_wanted(tmp_path: Path) -> None:
    found = seen(1, tmp_path, thumbnails=False)
    assert found.preview == b""
    assert found.references


@pytest.mark.parametrize(
    "error", [MissingDependencyError("no"), EngineCrashedError("the process died")]
)
def test_a_person_is_kept_without_what_cannot_be_seen(tmp_path: Path, error: Exception) -> None:
    found = seen(2, tmp_path, error=error)
    assert (found.faces, found.references, found.preview) == ((), {}, b"")
