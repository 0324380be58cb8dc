from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fake_engine import FakeEngine
from pulid_sdcpp import demo as demo_module
from pulid_sdcpp.cli import extract as extract_module
from pulid_sdcpp.cli import generate as generate_module
from pulid_sdcpp.cli import main
from pulid_sdcpp.identity import Identity


class FakeExtractor:
    def __init__(self, **options: Any) -> None:
        pass

    def extract(self, photo: Any) -> Identity:
        return Identity.from_array(np.full((32, 2048), 0.25, np.float32))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEngine:
    fake = FakeEngine()
    files = {name: tmp_path / name for name in ("flux-q8_0", "taesd", "clip_l", "pulid")}
    monkeypatch.setattr(generate_module, "create_engine", fake.create)
    monkeypatch.setattr(extract_module, "create_extractor", FakeExtractor)
    monkeypatch.setattr(demo_module, "make_demo_weights", lambda folder: files)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (300, 200), "green").save("photo.png")
    return fake


def test_the_picture_shows_the_photo_and_both_pictures(engine: FakeEngine) -> None:
    arguments = ["demo", "--portrait", "photo.png", "--folder", "."]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "saved demo.png" in result.stdout
    assert "noise" in result.stdout
    assert [call["pulid_id_embedding"] is not None for call in engine.calls] == [False, True]
    with Image.open("demo.png") as picture:
        assert picture.size == (768, 256)
        colours = [picture.getpixel((x, 128)) for x in (128, 384, 640)]
        assert colours == [(0, 128, 0), (200, 0, 0), (100, 0, 0)]
        assert "PuLID identity" in picture.info["parameters"]
    assert Identity.load("demo.pulidembd").n_tokens == 32


def test_an_identity_that_changes_nothing_is_an_error(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Image.new("RGB", (256, 256))
    monkeypatch.setattr(engine, "generate_image", lambda **arguments: [picture])
    arguments = ["demo", "--portrait", "photo.png", "--folder", "."]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "did not apply it" in result.stderr
    assert not Path("demo.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--portrait", "absent.png"], "absent.png"),
        (["--portrait", "photo.png", "-o", "absent/a.png"], "folder absent does not exist"),
    ],
)
def test_what_cannot_work_is_refused_first(
    engine: FakeEngine, arguments: list[str], words: str
) -> None:
    result = CliRunner().invoke(main, ["demo", "--folder", ".", *arguments])
    assert result.exit_code == 1
    assert words in result.stderr
    assert not engine.calls


def test_without_scikit_image_the_error_says_what_to_do(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_module.importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["demo", "--folder", "."])
    assert result.exit_code == 1
    assert "--portrait" in result.stderr


@pytest.mark.engine
@pytest.mark.extract
def test_the_whole_way_from_photo_to_picture(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    arguments = ["demo", "--folder", str(tmp_path), "-o", str(tmp_path / "demo.png")]
    command = [sys.executable, "-m", "pulid_sdcpp", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert f"saved {tmp_path / 'demo.png'}" in done.stdout
    with Image.open(tmp_path / "demo.png") as picture:
        nobody = picture.crop((256, 0, 512, 256))
        person = picture.crop((512, 0, 768, 256))
        assert nobody.tobytes() != person.tobytes()
        assert min(nobody.convert("L").getextrema()) < max(nobody.convert("L").getextrema())
