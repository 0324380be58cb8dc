"""`generate --from` where files are not as they were: said, or found by their hashes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fake_engine import FakeEngine
from file_drafts import draft_safetensors
from pulid_sdcpp.cli import main
from pulid_sdcpp.engine import factory
from pulid_sdcpp.request import picture_request
from standin.esrgan import esrgan_weights, write_esrgan

FILES = ("--diffusion-model", "m/flux.gguf", "--vae", "m/ae.safetensors", "--clip_l", "m/clip.gguf")
SIZE = ("-W", "64", "-H", "32", "--steps", "1")


def settled(path: str, data: bytes) -> Path:
    """A file whose hash is remembered: not written just now."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    os.utime(file, ns=(10**18, 10**18 + len(data)))
    return file


def lora(data: bytes) -> bytes:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    return draft_safetensors({"x.lora_up.weight": entry}, data)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(factory, "load_engine", fake.create)
    monkeypatch.setattr(picture_request, "check_prompt_loras", lambda *args, **options: None)
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("flux.gguf", "ae.safetensors", "clip.gguf"):
        settled(f"m/{name}", name.encode())
    settled("loras/style.safetensors", lora(b"1234"))
    done(*FILES, *SIZE, "-p", "a cat", "--lora", "loras/style:0.5", "-o", "a.png")
    return fake


def done(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["generate", *arguments])
    assert result.exit_code == 0, result.output
    return result


def again(*arguments: str) -> list[str]:
    """The notes of making it again."""
    result = done("--from", "a.png", "-o", "again.png", "--overwrite", *arguments)
    return [line for line in result.stderr.splitlines() if line.startswith("note: ")]


def test_nothing_is_named_and_the_same_picture_is_made(engine: FakeEngine) -> None:
    notes = again()
    assert len(notes) == 3  # the model files, which no preset has
    assert f"note: flux of a.png is {Path('m/flux.gguf').absolute()}, which has its hash" in notes
    assert Path("again.png").read_bytes() == Path("a.png").read_bytes()
    assert engine.calls[-1].picture.prompt == "a cat<lora:style:0.5>"
    assert dict(engine.calls[-1].picture.lora_files) == {
        "style": Path("loras/style.safetensors").absolute()
    }


def test_a_full_checkpoint_is_found_as_one(engine: FakeEngine) -> None:
    names = ("model.diffusion_model.a", "conditioner.embedders.0.transformer.b")
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    settled("m/all.safetensors", draft_safetensors(dict.fromkeys(names, entry), b""))
    done("-m", "m/all.safetensors", *SIZE, "-p", "a cat", "-o", "a.png", "--overwrite")
    assert len(again()) == 1
    found = Path("m/all.safetensors").absolute()
    assert (engine.context.model_path, engine.context.diffusion_model_path) == (found, None)
    settled("m/other.gguf", b"other")
    again(
        "--diffusion-model", "m/other.gguf", "--clip_l", "m/clip.gguf", "--vae", "m/ae.safetensors"
    )
    assert engine.context.model_path is None


def test_a_renamed_file_is_used_and_said(engine: FakeEngine) -> None:
    Path("m/flux.gguf").rename("m/new.gguf")
    Path("loras/style.safetensors").rename("loras/look.safetensors")
    notes = again()
    assert f"note: flux of a.png is {Path('m/new.gguf').absolute()}, which has its hash" in notes
    look = Path("loras/look.safetensors").absolute()
    assert f"note: the LoRA style of a.png is {look}, which has its hash" in notes
    assert not [note for note in notes if "not as in" in note]


def test_an_upscaling_model_is_found_where_it_is(engine: FakeEngine) -> None:
    Path("up").mkdir()
    write_esrgan(Path("up", "x2.safetensors"), esrgan_weights(2))
    os.utime("up/x2.safetensors", ns=(10**18, 10**18))
    two_passes = ("--hires", "--hires-upscaler", "x2", "--hires-upscalers-dir", "up")
    done(*FILES, *SIZE, "-p", "a cat", *two_passes, "-o", "a.png", "--overwrite")
    assert not [note for note in again("--hires-upscalers-dir", "up") if "x2" in note]
    # Another folder: the same bytes.
    found = f"note: the upscaling model x2 of a.png is {Path('up/x2.safetensors').absolute()}"
    assert f"{found}, which has its hash" in again()
    assert Path("again.png").read_bytes() == Path("a.png").read_bytes()
    # Another name.
    Path("up/x2.safetensors").rename("up/new.safetensors")
    for flags in ((), ("--hires-upscalers-dir", "up")):
        assert any("new.safetensors, which has its hash" in note for note in again(*flags))
        assert engine.calls[-1].picture.hires_upscaler == "new.safetensors"
    # Whoever names another one means it.
    assert not [note for note in again("--hires-upscaler", "Lanczos") if "x2" in note]


def test_another_file_of_the_name_is_said(engine: FakeEngine) -> None:
    settled("alt/flux.gguf", b"another")
    settled("loras2/style.safetensors", lora(b"5678"))
    notes = again("--diffusion-model", "alt/flux.gguf", "--lora-model-dir", "loras2")
    (model, of_lora) = [note for note in notes if "not as in a.png" in note]
    assert "not as in a.png: --diffusion-model was flux (" in model
    assert "and is flux (" in model
    assert "the LoRA style was " in of_lora
    assert engine.context is not None
    assert engine.context.diffusion_model_path == Path("alt/flux.gguf")


def test_what_is_nowhere_is_an_error(engine: FakeEngine) -> None:
    Path("m/flux.gguf").unlink()
    result = CliRunner().invoke(main, ["generate", "--from", "a.png", "-o", "b.png"])
    assert result.exit_code == 2
    assert "no model is named" in result.stderr


def test_the_weight_of_a_lora_can_be_changed(engine: FakeEngine) -> None:
    again("--lora", "loras/style:0.9")
    assert engine.calls[-1].picture.prompt == "a cat<lora:style:0.9>"
    again("-p", "a dog")
    assert engine.calls[-1].picture.prompt == "a dog"
