"""The programs and the notebook of examples/: they run as they are, and mypy finds nothing."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from pulid_sdcpp import AsyncPulidPipeline, PulidFlux, pocket_files
from pulid_sdcpp.pictures.png_text import read_picture_text
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
REQUIRE_POCKET = os.environ.get("PULID_REQUIRE_POCKET") == "1"
TINY: Any = {"width": 32, "height": 32, "steps": 2}

runs = [
    pytest.mark.engine,
    pytest.mark.extract,
    pytest.mark.skipif(
        not (PACK_FOLDER / MANIFEST_NAME).is_file() and not REQUIRE_POCKET,
        reason="the pocket model is not in this folder",
    ),
]


def load(name: str) -> Any:
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # for its dataclasses
    specification.loader.exec_module(module)
    return module


def code_of(notebook: Path) -> str:
    """All cells, without IPython, which may not be there."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code") + "\n"
    plain = "from typing import Any\nDisplayHandle = Any\ndisplay: Any = print"
    return code.replace("from IPython.display import DisplayHandle, display", plain)


@pytest.fixture(scope="module")
def pocket() -> Iterator[PulidFlux]:
    with PulidFlux.from_preset("pocket", backend="cpu", settings=TINY) as pipeline:
        yield pipeline


def portrait(name: str) -> bytes:
    return next(path for path in pocket_files().portraits if path.stem == name).read_bytes()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_one_of_version_4_5_without_outputs(notebook: Path) -> None:
    found = json.loads(notebook.read_text(encoding="utf-8"))
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert found["metadata"]["kernelspec"]["name"] == "python3"
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])
    for cell in found["cells"]:
        wanted = {"id", "cell_type", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            wanted |= {"outputs", "execution_count"}
        assert set(cell) == wanted
        assert all(line.endswith("\n") for line in cell["source"][:-1])


def test_mypy_finds_nothing_in_them(tmp_path: Path) -> None:
    for notebook in NOTEBOOKS:
        (tmp_path / f"{notebook.stem}.py").write_text(code_of(notebook), encoding="utf-8")
    files = map(str, [*sorted(EXAMPLES.glob("*.py")), *sorted(tmp_path.glob("*.py"))])
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", *files],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


class Window:
    """In the place of IPython's handle of a display."""

    def __init__(self, shown: list[Any]) -> None:
        self._shown = shown

    def update(self, item: Any) -> None:
        self._shown.append(item)


def fake_ipython(shown: list[Any]) -> ModuleType:
    def display(item: Any, *, display_id: bool = False) -> Window | None:
        shown.append(item)
        return Window(shown) if display_id else None

    module = ModuleType("IPython.display")
    vars(module).update(display=display, DisplayHandle=Window)
    return module


class TestRuns:
    pytestmark = runs

    def test_the_notebook(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shown: list[Any] = []
        monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
        monkeypatch.setitem(sys.modules, "IPython.display", fake_ipython(shown))
        monkeypatch.chdir(tmp_path)
        for notebook in NOTEBOOKS:
            names: dict[str, Any] = {"__name__": "__main__"}
            for number, cell in enumerate(json.loads(notebook.read_text("utf-8"))["cells"]):
                if cell["cell_type"] == "code":
                    name = f"{notebook.name}, cell {number}"
                    source = "".join(cell["source"]).replace("seed=7", "seed=7, steps=3")
                    exec(compile(source, name, "exec"), names)
        assert len(shown) > 5
        assert all(isinstance(item, Image.Image) for item in shown)
        assert "photo of a person, smiling" in (read_picture_text(tmp_path / "rose.png") or "")

    def test_the_bot(self, pocket: PulidFlux, tmp_path: Path) -> None:
        bot = load("chat_bot")
        (tmp_path / "rose.png").write_bytes(portrait("rose"))
        lines = iter(
            [
                f"rose: /me {tmp_path / 'rose.png'}\n",
                "omar: sitting in a cafe\n",
                "omar: /me nobody.png\n",
                "nobody\n",
                "ida: /forget\n",
            ]
        )
        sent: list[tuple[str, Any]] = []

        async def next_line() -> str:
            return next(lines, "")

        async def test() -> None:
            pipeline = AsyncPulidPipeline(pocket)
            made = bot.Bot(pipeline)
            await bot.chat(made, next_line, lambda user, reply: sent.append((user, reply)))
            with_face = asyncio.ensure_future(made.answer("rose", "smiling"))
            waiting = asyncio.ensure_future(made.answer("omar", "smiling"))
            await asyncio.sleep(0)
            stopped = await made.answer("omar", "/stop")
            replies = [await with_face, stopped, await waiting]
            assert [reply.text for reply in replies[1:]] == ["stopped 1", "stopped"]
            assert replies[0].picture.startswith(b"\xff\xd8\xff")
            assert "PuLID identity" in (read_picture_text(replies[0].picture) or "")
            assert (await made.answer("rose", "/forget")).text == "forgotten"
            bad = await made.answer("rose", "/me", b"no photo")
            assert bad.text.startswith("sorry: the given picture: expected a photo")
            many = [asyncio.ensure_future(made.answer("ida", "far away")) for _ in range(4)]
            texts = sorted([(await one).text for one in many])
            assert texts[0] == "one after another, please"

        asyncio.run(test())
        texts = {(user, reply.text.split(":")[0]) for user, reply in sent}
        assert ("rose", "now I know you") in texts
        assert ("omar", "sorry") in texts
        assert ("ida", "I did not know you") in texts
        assert sum(reply.picture is not None for _, reply in sent) == 1

    def test_the_service(self, pocket: PulidFlux) -> None:
        module = load("async_service")

        async def ask(port: int, request: bytes) -> list[dict[str, Any]]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
            writer.write(request + b"\n")
            told = []
            while line := await reader.readline():
                told.append(json.loads(line))
            writer.close()
            await writer.wait_closed()
            return told

        async def test() -> None:
            service = module.Service(AsyncPulidPipeline(pocket))
            server = await asyncio.start_server(
                service.serve, "127.0.0.1", 0, limit=module.MOST_BYTES
            )
            port = server.sockets[0].getsockname()[1]
            photo = base64.b64encode(portrait("rose")).decode()
            asked = [{"prompt": "p", "photo": photo, "seed": 7}, {"prompt": "p", "seed": 8}]
            answers = await asyncio.gather(
                *(ask(port, json.dumps(one).encode()) for one in asked),
                ask(port, b'{"prompt": "p", "stepz": 3}'),
                ask(port, b'{"prompt": "p", "photo": "!"}'),
                ask(port, b'{"prompt": "p", "photo": ""}'),
                ask(port, b"hello"),
            )
            for answer, seed in zip(answers, (7, 8), strict=False):
                picture = base64.b64decode(answer[-1]["picture"])
                assert answer[-1]["seed"] == seed
                assert f"Seed: {seed}," in (read_picture_text(io.BytesIO(picture)) or "")
                assert [one["step"] for one in answer if "preview" in one] == [1, 2]
            assert answers[2] == [{"error": "unknown: stepz"}]
            assert answers[3] == [{"error": "photo is not base64"}]
            assert answers[4] == [{"error": "the given picture: nothing is in it"}]
            assert set(answers[5][0]) == {"error"}

            # Who hangs up is not drawn for, and the next one is.
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b'{"prompt": "p", "steps": 50}\n')
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.close()
            await writer.wait_closed()
            assert "picture" in (await ask(port, b'{"prompt": "p", "steps": 1}'))[-1]
            server.close()
            await server.wait_closed()

        asyncio.run(asyncio.wait_for(test(), 120))
