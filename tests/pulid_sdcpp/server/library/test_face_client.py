"""The process that finds faces."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.errors import FaceNotThereError, ImageFileError, ModelFileError
from pulid_sdcpp.extraction.face_looker import FaceLooker, LookedAt, recogniser_name
from pulid_sdcpp.extraction.faces import list_faces
from pulid_sdcpp.pocket.pack import pocket_files
from pulid_sdcpp.server.engine.engine_errors import EngineCrashedError
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.library.face_client import FaceClient
from pulid_sdcpp.server.library.face_looks import FaceLooks
from pulid_sdcpp.server.library.served_models import ServedModels


def png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def group(*sides: int) -> Image.Image:
    """Portraits of different people beside each other."""
    picture = Image.new("RGB", (sum(sides), max(sides)), (120, 150, 180))
    left = 0
    for path, side in zip(pocket_files().portraits, sides, strict=False):
        with Image.open(path) as portrait:
            picture.paste(portrait.convert("RGB").resize((side, side)), (left, 0))
        left += side
    return picture


@pytest.mark.extract
def test_a_look_is_that_of_list_faces_and_recognises_people() -> None:
    pytest.importorskip("insightface")
    files = pocket_files()
    picture = group(768, 600, 500)
    looker = FaceLooker(files.detector, [files.recogniser, files.judge])
    looked_at = looker.look(png(picture))
    listed = list_faces(picture, files.detector).faces
    assert (looked_at.width, looked_at.height) == picture.size
    assert [(one.place, one.score, one.words) for one in looked_at.faces] == [
        (one.place, one.score, one.words) for one in listed
    ]
    names = [recogniser_name(path) for path in (files.recogniser, files.judge)]
    for number, face in enumerate(looked_at.faces):
        assert face.number == number
        assert list(face.embeddings) == names
        alone = looker.look(png(group(*[600] * 3).crop((600 * number, 0, 600 * number + 600, 600))))
        for name in names:
            one, other = face.embeddings[name], alone.faces[0].embeddings[name]
            assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.7
    right = looker.look(png(picture), "right")
    assert right.chosen == 2
    assert [bool(face.embeddings) for face in right.faces] == [False, False, True]
    with pytest.raises(FaceNotThereError):
        looker.look(png(picture), 3)
    assert looker.look(png(Image.new("RGB", (64, 64)))).faces == ()


@pytest.mark.extract
def test_the_process_answers_dies_and_ends_when_idle(tmp_path: Path) -> None:
    pytest.importorskip("insightface")
    files = pocket_files()
    content = png(group(400))

    async def test() -> None:
        async with FaceClient(idle_s=0.3) as faces:
            assert faces.pid is None
            first = await faces.look(content, files.detector)
            assert len(first.faces) == 1
            with pytest.raises(ImageFileError):
                await faces.look(b"no picture", files.detector)
            with pytest.raises(ModelFileError):
                await faces.look(content, tmp_path / "detector.onnx")
            pid = faces.pid
            assert pid is not None
            if os.name != "nt":
                os.kill(pid, signal.SIGKILL)
                assert await faces.look(content, files.detector) == first
                assert faces.pid not in (None, pid)
            while faces.pid is not None:
                await asyncio.sleep(0.05)
        with pytest.raises(ValueError, match="closed"):
            await faces.look(content, files.detector)

    asyncio.run(asyncio.wait_for(test(), 120))


def test_a_process_that_dies_at_once_and_one_that_is_not_there() -> None:
    async def test() -> None:
        async with FaceClient(command=(sys.executable, "-c", "import os; os._exit(7)")) as faces:
            with pytest.raises(EngineCrashedError, match="exit status 7"):
                await faces.look(b"photo", "detector")
            assert faces.pid is None
        async with FaceClient(command=("no-such-program-of-ours",)) as faces:
            with pytest.raises(EngineCrashedError, match="cannot be started"):
                await faces.look(b"photo", "detector")

    asyncio.run(asyncio.wait_for(test(), 60))


def test_no_more_than_so_many_photos_wait() -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        class Slow:
            async def look(self, *_: object) -> LookedAt:
                await go_on.wait()
                return LookedAt(1, 1, ())

        looks = FaceLooks(ServedModels("pocket"), client=Slow())  # type: ignore[arg-type]
        asked = [asyncio.ensure_future(looks.find(b"photo")) for _ in range(40)]
        while sum(one.done() for one in asked) < 8:
            await asyncio.sleep(0.01)
        go_on.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        codes = [one.code for one in found if isinstance(one, ApiError)]
        assert codes == ["queue_full"] * 8
        assert (await looks.find(b"photo")).faces == ()

    asyncio.run(asyncio.wait_for(test(), 60))


def test_a_judge_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^judge is .*judge.onnx'?, but must be"):
        FaceLooks(ServedModels("pocket"), tmp_path / "judge.onnx")
