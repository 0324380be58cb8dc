"""Hashes of model files and LoRAs in a picture's text, and compared when it is made again."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_engine import FakeEngine
from file_drafts import draft_safetensors
from pulid_sdcpp import GenerationCancelled, PulidFlux
from pulid_sdcpp.native.progress_event import ProgressEvent
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.pictures import model_hashes
from pulid_sdcpp.pictures.model_hashes import FileHashes, hashes_from, write_hashes
from pulid_sdcpp.pictures.png_text import PictureText, format_text, parse_text
from pulid_sdcpp.pictures.recipe import recipe_from
from pulid_sdcpp.request import picture_request

PROMPT = "a cat <lora:style:1>"


def sha256(data: bytes, digits: int) -> str:
    return hashlib.sha256(data).hexdigest()[:digits]


def settled(path: Path, data: bytes) -> Path:
    """A file whose hash is remembered: not written just now."""
    path.write_bytes(data)
    os.utime(path, ns=(10**18, 10**18 + len(data)))
    return path


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContextOptions:
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    # These files are no models; whether a LoRA fits one is tested elsewhere.
    monkeypatch.setattr(picture_request, "check_prompt_loras", lambda *args, **options: None)
    (tmp_path / "loras").mkdir()
    settled(tmp_path / "loras" / "style.safetensors", lora(b"1234", note="first"))
    return ContextOptions(
        diffusion_model_path=settled(tmp_path / "flux.gguf", b"model"),
        vae_path=settled(tmp_path / "ae.safetensors", b"vae"),
        clip_l_path=settled(tmp_path / "clip.gguf", b"clip"),
        t5xxl_path=tmp_path / "not-there.gguf",
        lora_model_dir=tmp_path / "loras",
    )


def lora(data: bytes, note: str) -> bytes:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    return draft_safetensors({"__metadata__": {"note": note}, "x.lora_up.weight": entry}, data)


@pytest.fixture
def pipeline(context: ContextOptions) -> Iterator[PulidFlux]:
    with made_of(context) as found:
        yield found


def made_of(context: ContextOptions) -> PulidFlux:
    return PulidFlux(context, create_engine=FakeEngine().create)


def test_the_text_has_hashes_as_web_uis_write_them(pipeline: PulidFlux) -> None:
    values = pipeline.generate(PROMPT, seed=1, steps=1).metadata.values
    assert values["Model hash"] == sha256(b"model", 10)
    assert values["VAE hash"] == sha256(b"vae", 10)
    assert values["CLIP-L hash"] == sha256(b"clip", 10)
    assert values["Lora hashes"] == f"style: {sha256(b'1234', 12)}"
    assert "T5XXL hash" not in values  # there is no such file
    assert "PuLID weights hash" not in values  # of nobody
    assert pipeline.generate(PROMPT, seed=1, steps=1).metadata.values == values


def test_they_come_back_from_the_text() -> None:
    hashes = FileHashes({"vae_path": "0123456789"}, {"a b": "0" * 12, "c-d": "f" * 12})
    for wanted in (hashes, FileHashes({}, {})):
        values = {"Steps": "1", "Seed": "2", "Size": "3x4", **write_hashes(wanted)}
        text = parse_text(format_text(PictureText("a cat", "", values)))
        assert hashes_from(text.values) == wanted


@pytest.mark.parametrize("text", ["", ",", "a", "a: ", ": b", "a" * 200_000, ": " * 100_000])
def test_whatever_a_text_says_is_read_at_once(text: str) -> None:
    assert len(hashes_from({"Lora hashes": text}).loras) <= 1


def test_a_file_is_read_once(
    context: ContextOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[str] = []
    original = model_hashes.file_sha256

    def counted(path, **options):
        read.append(Path(path).name)
        return original(path, **options)

    monkeypatch.setattr(model_hashes, "file_sha256", counted)
    with made_of(context) as pipeline:
        for seed in range(3):
            result = pipeline.generate(PROMPT, seed=seed, steps=1)
        assert sorted(read) == ["ae.safetensors", "clip.gguf", "flux.gguf", "style.safetensors"]
        # The engine holds the model, and reads a LoRA anew for each picture.
        settled(tmp_path / "flux.gguf", b"other model")
        settled(tmp_path / "loras" / "style.safetensors", lora(b"5678", note="now"))
        values = pipeline.generate(PROMPT, seed=3, steps=1).metadata.values
        assert values["Model hash"] == result.metadata.values["Model hash"]
        assert values["Lora hashes"] == f"style: {sha256(b'5678', 12)}"


def test_what_is_another_file_is_said(pipeline: PulidFlux, tmp_path: Path) -> None:
    path = pipeline.generate(PROMPT, seed=1, steps=1).save(tmp_path / "a.png")
    recipe = recipe_from(path)
    context = pipeline.context
    assert recipe.differences(context) == ()

    settled(tmp_path / "flux.gguf", b"another")
    settled(tmp_path / "loras" / "style.safetensors", lora(b"5678", note="first"))
    assert recipe.differences(context) == (
        f"diffusion_model_path was flux ({sha256(b'model', 10)}), and is flux"
        f" ({sha256(b'another', 10)})",
        f"the LoRA style was {sha256(b'1234', 12)}, and is {sha256(b'5678', 12)}",
    )
    assert len(recipe.differences(context, "a cat")) == 1  # without its LoRA


def test_the_same_content_is_no_difference(pipeline: PulidFlux, tmp_path: Path) -> None:
    path = pipeline.generate(PROMPT, seed=1, steps=1).save(tmp_path / "a.png")
    renamed = settled(tmp_path / "renamed.gguf", b"model")
    settled(tmp_path / "loras" / "style.safetensors", lora(b"1234", note="another note"))
    other = ContextOptions(
        **{**vars(pipeline.context), "diffusion_model_path": renamed}  # type: ignore[arg-type]
    )
    asked: list[None] = []
    assert recipe_from(path).differences(other, on_read=lambda: asked.append(None)) == ()
    assert len(asked) == 1
    assert recipe_from(path).differences(other, on_read=lambda: asked.append(None)) == ()
    assert len(asked) == 1  # now they are known


def test_a_renamed_file_is_found_by_its_hash(pipeline: PulidFlux, tmp_path: Path) -> None:
    path = pipeline.generate(PROMPT, seed=1, steps=1).save(tmp_path / "a.png")
    recipe = recipe_from(path)
    model, style = tmp_path / "flux.gguf", tmp_path / "loras" / "style.safetensors"
    assert recipe.find_files()["diffusion_model_path"] == model
    assert recipe.lora_files(tmp_path / "loras") == ()  # it is there
    assert recipe.lora_files(tmp_path) == (("style", style),)

    settled(tmp_path / "of-that-size.gguf", b"other")
    moved, renamed = tmp_path / "new.gguf", style.with_name("look.safetensors")
    model.rename(moved)
    style.rename(renamed)
    assert recipe.find_files()["diffusion_model_path"] == moved
    assert recipe.lora_files(tmp_path / "loras") == (("style", renamed),)
    settled(style, lora(b"5678", note="another of that name"))
    assert recipe.lora_files(tmp_path / "loras") == (("style", renamed),)
    assert recipe.lora_files(tmp_path / "loras", is_chosen=True) == ()
    again = pipeline.generate(**recipe_from(path).arguments)
    assert again.metadata.values["Lora hashes"] == recipe.text.values["Lora hashes"]
    assert again.metadata.prompt == PROMPT

    moved.unlink()
    assert "diffusion_model_path" not in recipe.find_files()


@pytest.mark.parametrize("digits", ["", "a", "12345678", "*", "g" * 10, "../../etc/passwd"])
def test_what_is_no_hash_finds_no_file(pipeline: PulidFlux, digits: str) -> None:
    pipeline.generate(PROMPT, seed=1, steps=1)
    found = model_hashes.files_known(FileHashes({"diffusion_model_path": digits}, {}))
    assert found == {}
    assert model_hashes.loras_known(FileHashes({}, {"style": digits})) == {}


def test_a_lora_from_anywhere_is_in_the_text_and_found_again(
    pipeline: PulidFlux, tmp_path: Path
) -> None:
    settled(tmp_path / "far.safetensors", lora(b"5678", note="x"))
    result = pipeline.generate("a cat", seed=1, steps=1, loras=[f"{tmp_path / 'far'}:0.5"])
    assert result.metadata.prompt == "a cat<lora:far:0.5>"
    assert result.metadata.values["Lora hashes"] == f"far: {sha256(b'5678', 12)}"
    again = pipeline.generate(**recipe_from(result.save(tmp_path / "a.png")).arguments)
    assert again.metadata == result.metadata


def test_a_picture_from_before_is_compared_by_name(pipeline: PulidFlux, tmp_path: Path) -> None:
    path = pipeline.generate("a cat", seed=1, steps=1).save(tmp_path / "a.png")
    recipe = recipe_from(path)
    for key in [key for key in recipe.text.values if "hash" in key]:
        del recipe.text.values[key]  # type: ignore[attr-defined]
    settled(tmp_path / "flux.gguf", b"another")
    assert recipe.differences(pipeline.context) == ()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Hashing that goes on until it is set, or stopped."""
    free = threading.Event()

    def wait(path, start, check):
        while not free.wait(0.01):
            check()
        return "0" * 64

    monkeypatch.setattr(model_hashes, "_SILENT_S", 0.01)
    monkeypatch.setattr(model_hashes, "file_sha256", wait)
    yield free
    free.set()


def test_whoever_waits_is_told(pipeline: PulidFlux, slow: threading.Event) -> None:
    told: list[str] = []

    def tell(event: ProgressEvent) -> None:
        told.append(event.stage)
        if event.stage == "hash":
            slow.set()

    result = pipeline.generate("a cat", seed=1, steps=1, on_event=tell)
    assert told[-1] == "hash"
    assert result.metadata.values["Model hash"] == "0" * 10


def test_a_wait_can_be_cancelled_and_the_next_picture_is_made(
    pipeline: PulidFlux, slow: threading.Event
) -> None:
    def tell(event: ProgressEvent) -> None:
        if event.stage == "hash":
            pipeline.cancel()

    with pytest.raises(GenerationCancelled):
        pipeline.generate("a cat", seed=1, steps=1, on_event=tell)
    slow.set()
    assert "Model hash" in pipeline.generate("a cat", seed=1, steps=1).metadata.values


def test_closing_ends_the_work(context: ContextOptions, slow: threading.Event) -> None:
    with made_of(context) as pipeline, pytest.raises(KeyError):
        pipeline.generate("a cat", seed=1, steps=1, on_event=lambda event: {}[event])  # type: ignore[index]
    with made_of(context) as pipeline:

        def leave(event: ProgressEvent) -> None:
            if event.stage == "hash":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pipeline.generate("a cat", seed=1, steps=1, on_event=leave)
    for thread in threading.enumerate():
        if thread.name == "pulid-sdcpp-hashes":
            thread.join(10)
            assert not thread.is_alive()
