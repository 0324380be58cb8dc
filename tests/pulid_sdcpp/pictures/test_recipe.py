"""A saved picture is made again from its text alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fake_engine import FakeEngine
from pulid_sdcpp import (
    ContextOptions,
    GenerationOptions,
    Identity,
    IdentityFileError,
    ImageFileError,
    Person,
    PulidFlux,
    Region,
    recipe_from,
)
from pulid_sdcpp.batch.plan import SHEET_TEXT
from pulid_sdcpp.pictures.png_text import (
    PictureText,
    format_text,
    parse_text,
    read_picture_text,
    save_picture,
)
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER, pocket_files
from pulid_sdcpp.system.package_version import package_version

needs_pocket = pytest.mark.skipif(
    not (PACK_FOLDER / MANIFEST_NAME).is_file() and os.environ.get("PULID_REQUIRE_POCKET") != "1",
    reason="the pocket model is not in this folder",
)
CONTEXT = ContextOptions(
    diffusion_model_path="m/flux.gguf", clip_l_path="c", taesd_path="t", pulid_weights="pulid"
)
SMALL = {"width": 32, "height": 32, "steps": 2}


def person(number: int, **arguments: Any) -> Identity:
    random = np.random.default_rng(number)
    return Identity.from_array(random.normal(size=(8, 256)), random.normal(size=(8, 256)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, the current folder, and images."""
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    noise = np.random.default_rng(1).integers(0, 256, (80, 64, 3), np.uint8)
    Image.fromarray(noise).save("in.png")
    Image.new("L", (80, 80), 0).save("mask.png")
    half = Image.new("L", (64, 64), 0)
    half.paste(255, (0, 0, 32, 64))
    half.save("left.png")
    return tmp_path


@pytest.fixture
def fake() -> Iterator[PulidFlux]:
    with PulidFlux(CONTEXT, create_engine=FakeEngine().create) as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
def pocket() -> Iterator[PulidFlux]:
    with PulidFlux.from_preset("pocket", backend="cpu") as pipeline:
        yield pipeline


LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 0.5, 1.0)
PICTURES: dict[str, dict[str, Any]] = {
    "plain": {},
    "the preset's settings": {"width": 128, "height": 128, "steps": 4},
    "sampling": {
        "sampling_method": "euler_a", "scheduler": "karras", "eta": 0.3, "clip_skip": 2,
        "guidance": 2.5, "flow_shift": 1.5, "vae_tiling": True, "vae_tile_size": (8, 8),
        "width": 96,  # more than one tile
    },
    "sigmas": {"sigmas": (1.0, 0.6, 0.0)},
    "odd prompt": {"prompt": " a, b: \"c\"\n\nNegative prompt: d ", "negative_prompt": "x\ny"},
    "identity": {"identity": person(1)},
    "identity in part": {
        "identity": person(1), "weight": 0.7, "steps": 4, "start_step": 0.25, "end_step": 2,
    },
    "true CFG": {
        "identity": person(1), "cfg_scale": 2.0, "negative_prompt": "blurry", "cfg_start_step": 0,
    },
    "weight 0": {"identity": person(1), "weight": 0.0},
    "image": {"init_image": "in.png", "strength": 0.6},
    "mask": {"init_image": "in.png", "mask_image": "left.png", "identity": person(1)},
    "references": {"ref_images": ["in.png", "left.png"], "increase_ref_index": True},
    "two people": {
        "steps": 3,
        "identity": [
            Person(person(1), 0.9, region=Region(box=LEFT)),
            Person(person(2), start_step=1, region=Region(box=RIGHT)),
        ],
    },
    "a mask": {"identity": [Person(person(1), region=Region(mask="left.png"))]},
    "step cache": {
        "steps": 8, "cache_mode": "easycache", "cache_option": "threshold=0.9,start=0.1,end=0.9",
    },
}  # fmt: skip


@pytest.mark.engine
@needs_pocket
@pytest.mark.parametrize("name", PICTURES)
def test_the_same_pixels_from_the_saved_file(name: str, folder: Path, pocket: PulidFlux) -> None:
    request = {"prompt": "photo of a person", "seed": 7, **SMALL, **PICTURES[name]}
    first = pocket.generate(**request)
    path = first.save("out.png")

    recipe = recipe_from(path)
    assert (recipe.preset, recipe.context) == ("pocket", {"backend": "cpu"})
    assert recipe.differences(pocket.context) == ()
    again = pocket.generate(**recipe.arguments)
    assert again.image.tobytes() == first.image.tobytes()
    assert again.text == first.text


@pytest.mark.engine
@needs_pocket
@pytest.mark.parametrize(
    ("method", "scheduler"), [("euler", "discrete"), ("lcm", "lcm"), ("ddim_trailing", "simple")]
)
def test_a_picture_from_before_flux_was_the_default_schedule(
    method: str, scheduler: str, folder: Path, pocket: PulidFlux
) -> None:
    """Its text names no schedule; it has the one of its time, and says so."""
    request = {"prompt": "photo of a person", "seed": 7, "sampling_method": method, **SMALL}
    first = pocket.generate(**request, scheduler=scheduler)
    values = {key: value for key, value in first.metadata.values.items() if key != "Schedule type"}
    text = format_text(PictureText(first.metadata.prompt, "", values))
    save_picture(first.image, "old.png", text)

    recipe = recipe_from("old.png")
    assert recipe.generation.scheduler == scheduler
    (note,) = recipe.notes
    assert f"noise schedule {scheduler}, which was the default then" in note
    again = pocket.generate(**recipe.arguments)
    assert again.image.tobytes() == first.image.tobytes()
    assert again.text == first.text
    assert recipe_from(again.save("again.png")).notes == ()
    anew = pocket.generate(**{**recipe.arguments, "scheduler": "flux"})
    assert anew.image.tobytes() != first.image.tobytes()


@pytest.mark.engine
@needs_pocket
def test_another_process_would_make_the_same_pixels(folder: Path) -> None:
    """With options of the engine that change pixels, which a new pipeline has to be given."""
    options: dict[str, Any] = {
        "backend": "cpu", "wtype": "f16", "pulid_dtype": "q8_0", "rng_type": "cpu",
        "diffusion_flash_attn": False, "repack": False,
    }  # fmt: skip
    request: dict[str, Any] = {"prompt": "photo of a person", "seed": 3, **SMALL}
    with PulidFlux.from_preset("pocket", **options) as pipeline:
        first = pipeline.generate(identity=person(1), **request)
        path = first.save(folder / "pictures" / "out.png")
    recipe = recipe_from(path)
    assert recipe.context == options
    with PulidFlux.from_preset(recipe.preset, settings={"steps": 9}, **recipe.context) as other:
        again = other.generate(**recipe.arguments)
    assert again.image.tobytes() == first.image.tobytes()
    assert again.text == first.text
    with PulidFlux.from_preset(recipe.preset, backend="cpu") as other:
        assert recipe.differences(other.context) == (
            "wtype was 'f16', and is 'default'",
            "pulid_dtype was 'q8_0', and is 'f16'",
            "rng_type was 'cpu', and is 'cuda'",
            "diffusion_flash_attn was False, and is True",
            "repack was False, and is True",
        )
        assert other.generate(**recipe.arguments).image.tobytes() != first.image.tobytes()


def test_images_are_found_beside_the_picture_too(folder: Path, fake: PulidFlux) -> None:
    path = fake.generate("p", init_image="in.png").save(folder / "pictures" / "out.png")
    assert recipe_from(path).generation.init_image == Path.cwd() / "in.png"
    moved = (folder / "here" / "in.png").rename(folder / "pictures" / "in.png")
    (folder / "here" / "in.png").write_bytes(b"another file of that name")
    recipe = recipe_from(path)
    assert recipe.generation.init_image == moved
    assert (recipe.generation.width, recipe.generation.height) == (64, 80)


def test_an_image_that_was_changed_is_refused(folder: Path, fake: PulidFlux) -> None:
    person_in_mask = [Person(person(1), region=Region(mask="left.png"))]
    path = fake.generate("p", person_in_mask, init_image="in.png").save("out.png")
    Image.new("RGB", (64, 64)).save("in.png")
    with pytest.raises(ImageFileError, match=r"in\.png is not the init image that out\.png"):
        recipe_from(path)
    Path("in.png").unlink()
    with pytest.raises(ImageFileError, match=r"init image in\.png, which is not in"):
        recipe_from(path)
    path = fake.generate("p", person_in_mask).save("people.png")
    Path("left.png").unlink()
    with pytest.raises(ImageFileError, match=r"mask of a person left\.png, which is not in"):
        recipe_from(path)


def test_a_file_that_changes_while_the_picture_waits(folder: Path, fake: PulidFlux) -> None:
    """The text is of what was read."""
    region = Region(mask="left.png")
    plain = fake.generate("p", [Person(person(1), region=region)], init_image="in.png")

    def change(event: object) -> None:
        for name in ("in.png", "left.png"):
            Image.new("RGB", (64, 80), "red").save(name)

    changed = fake.generate(
        "p", [Person(person(1), region=region)], init_image="in.png", on_event=change
    )
    assert changed.text == plain.text
    with pytest.raises(ImageFileError, match="is not the init image"):
        recipe_from(changed.save("out.png"))


def test_an_image_that_was_no_file_cannot_be_found(folder: Path, fake: PulidFlux) -> None:
    path = fake.generate("p", init_image=Image.new("RGB", (16, 16))).save("out.png")
    with pytest.raises(ImageFileError, match="init image was in memory only"):
        recipe_from(path)


def test_an_identity_is_found_where_it_is_kept(folder: Path) -> None:
    engine = FakeEngine()
    identity = Identity.from_array(np.random.default_rng(5).normal(size=(8, 256)))
    with PulidFlux(CONTEXT, create_engine=engine.create, remember_identities=False) as forgetful:
        path = forgetful.generate("p", identity).save("out.png")
    with pytest.raises(IdentityFileError, match=rf"{identity.short_hash}, which is not kept") as no:
        recipe_from(path)
    assert "or give the photos again with --portrait" in str(no.value)
    identity.save("rounded.pulidembd", "f16")
    with pytest.raises(IdentityFileError, match="another copy of the identity"):
        recipe_from(path)
    identity.save("alice.pulidembd", "f32")
    (found,) = recipe_from(path).people
    assert np.array_equal(found.identity.tokens, identity.tokens)  # type: ignore[union-attr]


def test_arguments_are_complete(folder: Path, fake: PulidFlux) -> None:
    """Nothing is left to the settings of the pipeline that makes it again."""
    recipe = recipe_from(fake.generate("p", steps=3).save("out.png"))
    arguments = recipe.arguments
    names = {field for field in GenerationOptions.__dataclass_fields__ if field != "batch_count"}
    assert set(arguments) == names | {"identity", "cfg_start_step"}
    assert (arguments["steps"], arguments["identity"]) == (3, ())
    assert recipe.preset == ""
    assert recipe.version == package_version()
    assert recipe.files["diffusion_model_path"] == "flux"


def test_other_files_are_named(folder: Path, fake: PulidFlux) -> None:
    recipe = recipe_from(fake.generate("p", person(1)).save("out.png"))
    assert recipe.differences(CONTEXT) == ()
    other = ContextOptions(model_path="other.gguf", vae_path="v")
    assert recipe.differences(other) == (
        "taesd_path was t, and is none",
        "clip_l_path was c, and is none",
        "diffusion_model_path was flux, and is other",
        "pulid_weights was pulid, and is none",
    )


def test_pictures_of_others_are_refused(folder: Path) -> None:
    image = Image.new("RGB", (16, 16))
    save_picture(image, "plain.png")
    save_picture(image, "webui.png", "p\nSteps: 4, Sampler: Euler, Seed: 1, Version: v1.10.1")
    save_picture(image, "sheet.png", SHEET_TEXT)
    demo = {"Steps": "4", "Seed": "1", "Contact sheet": "demo", "Version": "pulid-sdcpp 1"}
    save_picture(image, "demo.png", format_text(PictureText("p", "", demo)))
    Path("text.png").write_text("no picture")
    for name, words in (
        ("plain.png", "found none in it"),
        ("webui.png", "another program"),
        ("sheet.png", "sheet.png: expected one picture, found a contact sheet; name one of its"),
        ("demo.png", "demo.png: expected one picture, found a contact sheet"),
        ("text.png", "expected a picture .* found a text file"),
        ("absent.png", "cannot read"),
    ):
        with pytest.raises(ImageFileError, match=words):
            recipe_from(name)


def test_a_text_without_distilled_guidance_is_one_of_sdxl(tmp_path: Path) -> None:
    values = {
        **{"Steps": "4", "Sampler": "DPM++ 2M", "Schedule type": "SGM Uniform", "CFG scale": "1.2"},
        **{"Seed": "7", "Size": "64x64", "Model": "sdxl_lightning_4step", "Version": "pulid-sdcpp"},
    }
    text = PictureText("p", "", values)
    path = tmp_path / "made.png"
    save_picture(Image.new("RGB", (64, 64)), path, format_text(text))
    assert recipe_from(path).generation.cfg_scale == 1.2
    assert recipe_from(path).generation.guidance == GenerationOptions.guidance


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("Steps", "many", "damaged: Steps is 'many'"),
        ("Steps", "0", "steps is 0"),
        ("Seed", None, "it has no Seed"),
        ("Sampler", "Best", "sampling_method is 'Best'"),
        ("PuLID weight", "heavy", "damaged: PuLID weight"),
        ("PuLID weight", "77", "weight is 77"),
        ("PuLID identity", "nobody", "identity hash"),
        ("PuLID box", "0 0", "damaged: PuLID box"),
        ("PuLID box", "0.5 0.5 0.9 0.9", "beyond the picture"),
        ("CFG start step", "x", "damaged: CFG start step"),
        ("Backend", None, None),
        ("Flash attention", "perhaps", "damaged: Flash attention"),
        ("Init image", "../secret.png", "damaged: init image"),
        ("Mask image", "left.png", "without init_image"),
    ],
)
def test_damaged_text_is_refused(
    key: str, value: str | None, words: str | None, folder: Path, fake: PulidFlux
) -> None:
    from pulid_sdcpp.pictures.text_entries import file_hash

    path = fake.generate("p", [Person(person(1), region=Region(box=LEFT))]).save("out.png")
    text = parse_text(str(read_picture_text(path)))
    values = {**text.values, "Backend": "cpu"}
    if value is None:
        del values[key]
    else:
        values[key] = value
        if key.endswith("image"):
            values[f"{key} hash"] = file_hash("left.png")
    damaged = format_text(PictureText(text.prompt, text.negative_prompt, values))
    save_picture(Image.new("RGB", (16, 16)), path, damaged)
    if words is None:
        assert recipe_from(path).context == {}
    else:
        with pytest.raises(ImageFileError, match=words):
            recipe_from(path)


def test_jpeg_keeps_the_recipe(folder: Path, fake: PulidFlux) -> None:
    recipe = recipe_from(fake.generate("p", person(1), seed=9).save("out.jpg"))
    assert (recipe.generation.seed, len(recipe.people)) == (9, 1)


@pytest.mark.engine
@pytest.mark.extract
@needs_pocket
def test_a_portrait_is_extracted_once_and_found_again(folder: Path, pocket: PulidFlux) -> None:
    portrait = pocket_files().portraits[0]
    events: list[str] = []
    alice = pocket.enroll(portrait, on_event=lambda event: events.append(event.stage))
    again = pocket.enroll([portrait], on_event=lambda event: events.append(event.stage))
    assert events == ["extract"]
    first = pocket.generate("photo of a person", alice, seed=1, **SMALL)
    assert pocket.generate("photo of a person", again, seed=1, **SMALL).text == first.text
    recipe = recipe_from(first.save("out.png"))
    assert pocket.generate(**recipe.arguments).image.tobytes() == first.image.tobytes()
