"""A typo in a call is found by mypy; what is right is not."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import generate_option_keywords
import pytest

import pulid_extractor
import pulid_sdcpp
from pulid_sdcpp import PulidFlux, PulidPipeline
from pulid_sdcpp.pipeline import keywords

ROOT = Path(__file__).resolve().parents[1]
CALLS = """\
import asyncio
from io import BytesIO

from pulid_sdcpp import AsyncPulidPipeline, CancelToken, PulidFlux, Result


def right(photo: bytes) -> bytes:
    with PulidFlux.from_preset("pocket", vram="auto", n_threads=2, settings={"steps": 3}) as flux:
        alice = flux.enroll(photo, face="left", cancel=CancelToken())
        result = flux.generate("p", alice, weight=0.9, steps=3, seed=7, init_image=BytesIO(photo))
        for other in flux.generate_each([{"prompt": "p", "seed": 1}], identity=alice):
            other.save(BytesIO(), format="webp", quality=80)
        return result.to_bytes("jpeg")


async def right_too(photo: bytes) -> Result:
    async with await AsyncPulidPipeline.from_preset("pocket", backend="cpu") as flux:
        async for item in flux.stream("p", await flux.enroll(photo), previews=True, steps=2):
            print(item)
        return await flux.generate("p", steps=3, width=64)


def wrong(flux: PulidFlux, many: AsyncPulidPipeline) -> None:
    flux.generate("p", stepz=3)
    flux.generate("p", steps="three")
    flux.generate_each([{"prompt": "p", "sede": 1}])
    PulidFlux.from_preset("pocket", n_thread=2)
    PulidFlux.from_preset("pocket", settings={"step": 3})
    asyncio.run(many.generate("p", heigth=64))
    many.stream("p", preview=True)
"""


def test_the_keywords_are_those_of_the_options() -> None:
    written = generate_option_keywords.OUTPUT.read_text(encoding="utf-8")
    assert written == generate_option_keywords.render(), (
        "a field of GenerationOptions or ContextOptions is new or has changed; run: "
        "python docs/generate_option_keywords.py"
    )


@pytest.mark.parametrize("package", [pulid_sdcpp, pulid_extractor])
def test_type_checkers_of_others_look_at_the_types(package: ModuleType) -> None:
    assert package.__file__ is not None
    assert (Path(package.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    ("method", "named", "positional"),
    [
        (PulidPipeline.from_preset, keywords.PresetKeywords, {"preset"}),
        (PulidFlux.generate, keywords.GenerateKeywords, set()),
    ],
    ids=["from_preset", "generate"],
)
def test_the_keywords_of_a_method_are_its_own(
    method: object, named: type, positional: set[str]
) -> None:
    """With those of `**options`, which are the options'."""
    parameters = inspect.signature(method).parameters.values()  # type: ignore[arg-type]
    own = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD} - {"self"}
    inherited = set(keywords.ContextKeywords.__annotations__) | set(
        keywords.GenerationKeywords.__annotations__
    )
    assert own - positional == set(named.__annotations__) - inherited, (
        "pipeline/keywords.py and the method's arguments differ"
    )


def test_a_typo_is_found(tmp_path: Path) -> None:
    calls = tmp_path / "calls.py"
    calls.write_text(CALLS, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache")]
    config = ["--config-file", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [*command, *config, str(calls)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    first_wrong = CALLS[: CALLS.index("def wrong")].count("\n") + 2
    lines = [
        line.partition(": error: ") for line in done.stdout.splitlines() if ": error: " in line
    ]
    found = sorted({int(place.rsplit(":", 1)[1]) for place, _, _ in lines})
    assert found == list(range(first_wrong, first_wrong + 7)), done.stdout + done.stderr
