from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from file_drafts import write_empty_safetensors, write_sdxl_pulid
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.identity.hashes import text_numbers
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.generation import SAMPLING_METHODS, SCHEDULERS, GenerationOptions
from pulid_sdcpp.people.identity_options import IdentityOptions
from pulid_sdcpp.people.person import Person
from pulid_sdcpp.people.region import Region
from pulid_sdcpp.pictures.parameters import (
    CONTEXT_FIELDS,
    context_values_from,
    describe_picture,
    file_names_from,
    generation_options_from,
    identity_values_from,
    image_names_from,
    picture_notes,
)
from pulid_sdcpp.pictures.people_text import people_from
from pulid_sdcpp.pictures.png_text import PictureText, format_text, parse_text

CONTEXT = ContextOptions(
    diffusion_model_path="models/flux1-schnell-Q4_K_S.gguf",
    clip_l_path="models/clip_l.safetensors",
    vae_path="models/ae.safetensors",
    pulid_weights="models/pulid_flux_v0.9.1.safetensors",
)

generations = st.builds(
    GenerationOptions,
    prompt=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    negative_prompt=st.text(st.sampled_from('ab,:\n"'), max_size=10),
    width=st.integers(1, 256).map(lambda n: 16 * n),
    height=st.integers(1, 256).map(lambda n: 16 * n),
    steps=st.integers(2, 1000),
    cfg_scale=st.floats(0, 1000),
    guidance=st.floats(0, 1000),
    sampling_method=st.sampled_from(SAMPLING_METHODS),
    scheduler=st.sampled_from(SCHEDULERS),
    seed=st.integers(0, 2**63 - 1),
    eta=st.none() | st.floats(0, 1),
    clip_skip=st.integers(-1, 12),
    sigmas=st.just(()) | st.just((14.6, 1e-7, 0.0)),
    flow_shift=st.none() | st.floats(0, 1000),
    strength=st.just(0.75),
    auto_resize_ref_image=st.booleans(),
    increase_ref_index=st.booleans(),
    vae_tiling=st.booleans(),
    vae_tile_size=st.tuples(st.integers(8, 512), st.just(0)),
    vae_tile_overlap=st.floats(0, 0.5),
    vae_relative_tile_size=st.tuples(st.floats(0, 64), st.just(0.1)),
    cache_mode=st.just("easycache"),
    cache_option=st.sampled_from(("", "threshold=0.5,end=0.9")),
    upscale_repeats=st.integers(0, 4),
    hires=st.booleans(),
    hires_upscaler=st.sampled_from(("Latent (nearest)", "4x, with a comma")),
    hires_width=st.integers(1, 256).map(lambda n: 16 * n),
    hires_steps=st.just(0) | st.integers(2, 1000),
    hires_denoising_strength=st.floats(0.01, 1),
)


@given(generations)
def test_options_come_back_from_a_pictures_text(options: GenerationOptions) -> None:
    text = parse_text(format_text(describe_picture(CONTEXT, options)))
    assert generation_options_from(text) == options.with_named_scheduler("flux")


def test_a_picture_of_sdxl_has_no_distilled_guidance(tmp_path: Path) -> None:
    unet = unet_tensor_shapes(UnetSizes(32, (1, 1)))
    full = {f"model.diffusion_model.{name}": shape for name, shape in unet}
    checkpoint = write_empty_safetensors(tmp_path / "juggernaut.safetensors", full)
    options = GenerationOptions("p", cfg_scale=7.0, seed=3)
    text = describe_picture(ContextOptions(model_path=checkpoint), options)
    assert "Distilled CFG Scale" not in text.values
    assert list(text.values)[:3] == ["Steps", "Sampler", "Schedule type"]
    assert text.values["CFG scale"] == "7.0"
    before = PictureText("p", "", {**text.values, "Distilled CFG Scale": "3.5"})
    assert generation_options_from(text) == generation_options_from(before)
    assert describe_picture(CONTEXT, options).values["Distilled CFG Scale"] == "3.5"


def test_the_schedule_is_named_even_when_it_is_the_default() -> None:
    def named(default: str = "flux", **options: Any) -> str | None:
        generation = GenerationOptions("p", **options)
        text = describe_picture(CONTEXT, generation, default_scheduler=default)
        return text.values.get("Schedule type")

    assert named() == named(scheduler="flux") == "flux"
    assert named("lcm", sampling_method="lcm") == "lcm"  # of another model
    assert named(scheduler="karras") == "Karras"
    assert named(sigmas=(1.0, 0.0)) is None


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [
        ("Euler", "discrete"),
        ("Euler a", "discrete"),
        ("DPM++ 2M", "discrete"),
        ("LCM", "lcm"),
        ("tcd", "lcm"),
        ("ddim_trailing", "simple"),
        ("Best", "discrete"),
    ],
)
def test_a_text_without_a_schedule_is_from_before_it_was_named(
    sampler: str, scheduler: str
) -> None:
    """As version 0.1.0 wrote it when none was asked for."""
    written = (
        f"p\nSteps: 4, Sampler: {sampler}, CFG scale: 1.0, Distilled CFG Scale: 3.5, Seed: 7, "
        "Size: 128x128, Preset: pocket, Model: flux1-schnell-pocket, Backend: cpu, "
        "Version: pulid-sdcpp 0.1.0"
    )
    text = parse_text(written)
    (note,) = picture_notes(text)
    assert f"noise schedule {scheduler}," in note
    if sampler != "Best":
        assert generation_options_from(text).scheduler == scheduler
    for part in (", Schedule type: Karras", ", Sigmas: 1.0 0.5 0.0"):
        asked_for = parse_text(written + part)
        assert picture_notes(asked_for) == ()
        if sampler != "Best":
            assert generation_options_from(asked_for).scheduler in ("karras", "default")
    assert picture_notes(parse_text(written.replace("pulid-sdcpp 0.1.0", "v1.10.1"))) == ()


@pytest.mark.parametrize(
    "identity",
    [
        {},
        {"weight": 0.7, "start_step": 4, "end_step": 20, "cfg_start_step": 1},
        {"weight": 1 / 3},
    ],
)
def test_identity_options_come_back(identity: dict[str, Any]) -> None:
    options = IdentityOptions("alice.pulidembd", **identity)
    text = describe_picture(CONTEXT, GenerationOptions("p"), options, identity_hash="0123456789")
    assert text.values["PuLID identity"] == "0123456789"
    assert text.values["PuLID weights"] == "pulid_flux_v0.9.1.safetensors"
    values = identity_values_from(parse_text(format_text(text)))
    options = dataclasses.replace(options, weight=identity.get("weight", 1.0))  # it is settled
    assert dataclasses.asdict(IdentityOptions("alice.pulidembd", **values)) == dataclasses.asdict(
        options
    )


def test_the_last_line_reads_as_elsewhere() -> None:
    text = format_text(
        describe_picture(
            CONTEXT,
            GenerationOptions("a face", steps=4, scheduler="sgm_uniform"),
            IdentityOptions("alice.pulidembd"),
            identity_hash="0123456789",
            version="0.1.0",
        )
    )
    assert text == (
        "a face\nSteps: 4, Sampler: Euler, Schedule type: SGM Uniform, CFG scale: 1.0, "
        "Distilled CFG Scale: 3.5, Seed: 42, Size: 512x512, Model: flux1-schnell-Q4_K_S, "
        "VAE: ae.safetensors, CLIP-L: clip_l.safetensors, PuLID identity: 0123456789, "
        "PuLID weight: 1.0, PuLID start step: 0, PuLID weights: pulid_flux_v0.9.1.safetensors, "
        "Version: pulid-sdcpp 0.1.0"
    )


def test_each_picture_of_a_batch_has_its_own_seed() -> None:
    options = GenerationOptions("p", seed=7, batch_count=3)
    seeds = [describe_picture(CONTEXT, options, index=i).values["Seed"] for i in range(3)]
    assert seeds == ["7", "8", "9"]


def test_without_identity_nothing_is_said_of_one() -> None:
    text = describe_picture(CONTEXT, GenerationOptions("p"), IdentityOptions())
    assert not [key for key in text.values if "PuLID" in key]


def test_input_images_are_named_with_their_hash(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(b"abc")
    options = GenerationOptions("p", init_image=tmp_path / "in.png", strength=0.5)
    values = describe_picture(CONTEXT, options, image_names={"init": [tmp_path / "in.png"]}).values
    assert (values["Init image"], values["Init image hash"]) == ("in.png", "ba7816bf8f")
    assert values["Denoising strength"] == "0.5"


def test_images_that_were_in_memory_are_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    names = {"ref": [None, tmp_path / "a.png"]}
    text = describe_picture(CONTEXT, GenerationOptions("p"), image_names=names)
    assert text.values["Ref image 1"] == "in memory"
    assert "Ref image 1 hash" not in text.values
    back = image_names_from(parse_text(format_text(text)))
    assert back == {
        "init": (), "mask": (), "ref": (("in memory", ""), ("a.png", "ba7816bf8f")), "control": (),
    }  # fmt: skip


MASK = Image.new("L", (16, 16), 255)


@pytest.mark.parametrize(
    "people",
    [
        [{}],
        [{"weight": 0.7, "start_step": 0.2, "end_step": 1.0}],
        [{"start_step": 3, "end_step": 4}],
        [{"region": Region(box=(0.0, 1 / 3, 0.5, 0.5))}],
        [{"weight": 1 / 3, "region": Region(box=(0, 0, 64, 128))}, {"start_step": 0.5}],
        [{"region": Region(mask=MASK)}, {"weight": 0.0}, {"region": Region(box=(0, 0, 1, 1))}],
    ],
)
def test_people_come_back(people: list[dict[str, Any]]) -> None:
    given = [
        Person(Identity.from_array([[number, 2.0]]), **arguments)
        for number, arguments in enumerate(people)
    ]
    options = IdentityOptions(people=tuple(given), cfg_start_step=2)
    text = parse_text(format_text(describe_picture(CONTEXT, GenerationOptions("p"), options)))
    described = people_from(text)
    assert identity_values_from(text)["cfg_start_step"] == 2
    for person, back in zip(given, described, strict=True):
        identity: Any = person.identity
        assert (back.identity_hash, back.numbers) == (
            identity.short_hash,
            text_numbers(identity.tokens),
        )
        again = Person(identity, **back.span)
        assert again.weight == (1.0 if person.weight is None else person.weight)
        for name in ("start_step", "end_step"):
            assert repr(getattr(again, name)) == repr(getattr(person, name))
        assert back.box == (person.region and person.region.box)
        has_mask = person.region is not None and person.region.mask is not None
        assert back.mask == (("in memory", "") if has_mask else None)


def test_one_person_is_described_as_before_there_were_several() -> None:
    identity = Identity.from_array([[1.0, 2.0]])
    alone = describe_picture(CONTEXT, GenerationOptions("p"), IdentityOptions(identity, 0.7))
    as_people = IdentityOptions(people=(Person(identity, 0.7),))
    assert describe_picture(CONTEXT, GenerationOptions("p"), as_people) == alone
    assert alone.values["PuLID identity"] == identity.short_hash


def test_the_mask_of_a_person_is_named_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "left.png").write_bytes(b"abc")
    person = Person("a.pulidembd", region=Region(mask=tmp_path / "left.png"))
    options = IdentityOptions(people=(person, Person("b.pulidembd")))
    values = describe_picture(CONTEXT, GenerationOptions("p"), options).values
    assert (values["PuLID mask 1"], values["PuLID mask 1 hash"]) == ("left.png", "ba7816bf8f")
    assert "PuLID mask 2" not in values


def test_context_options_and_file_names_come_back() -> None:
    given = {
        "wtype": "q8_0", "tensor_type_rules": "^vae=f16", "pulid_dtype": "f32", "rng_type": "cpu",
        "sampler_rng_type": "cuda", "lora_apply_mode": "at_runtime", "circular_x": True,
        "circular_y": True, "flash_attn": True, "diffusion_flash_attn": False,
        "diffusion_conv_direct": True, "vae_conv_direct": True, "backend": "diffusion=cpu,vae=cpu",
        "keep_clip_on_cpu": True, "keep_vae_on_cpu": True, "repack": False,
        "upscale_tile_size": 64,
    }  # fmt: skip
    assert set(given) == set(CONTEXT_FIELDS)
    context = dataclasses.replace(CONTEXT, taesd_path="models/taef1.safetensors", **given)
    text = parse_text(
        format_text(describe_picture(context, GenerationOptions("p"), preset="small"))
    )
    assert context_values_from(text) == given
    assert text.values["Preset"] == "small"
    assert file_names_from(text) == {
        "diffusion_model_path": "flux1-schnell-Q4_K_S",
        "vae_path": "ae.safetensors",
        "taesd_path": "taef1.safetensors",
        "clip_l_path": "clip_l.safetensors",
    }
    plain = describe_picture(CONTEXT, GenerationOptions("p"))
    assert context_values_from(plain) == {}


@pytest.mark.parametrize("folder", ["/some/models/", "C:\\models\\", "\\\\host\\share\\", "../"])
def test_an_upscaling_model_is_named_without_its_folder(folder: str) -> None:
    options = GenerationOptions("p", hires=True, hires_upscaler=f"{folder}4x.pth")
    text = describe_picture(CONTEXT, options)
    assert text.values["Hires upscaler"] == "4x.pth"
    text.values["Hires upscaler"] = f"{folder}4x.pth"  # type: ignore[index]
    assert generation_options_from(text).hires_upscaler == "4x.pth"


def test_an_autoencoder_for_previews_is_not_named() -> None:
    context = dataclasses.replace(CONTEXT, taesd_path="taef1.safetensors")
    assert "TAESD" in describe_picture(context, GenerationOptions("p")).values
    context = dataclasses.replace(context, tae_preview_only=True)
    assert "TAESD" not in describe_picture(context, GenerationOptions("p")).values


def test_every_option_that_changes_a_picture_is_written() -> None:
    """A new option must be given a name in the text, or be listed here as one that is not."""
    # Written without the table.
    elsewhere = {"prompt", "negative_prompt", "width", "height", "seed", "batch_count",
                 "init_image", "mask_image", "ref_images", "control_image", "strength",
                 "embedding", "people", "cfg_start_step", "diffusion_model_path", "model_path",
                 "pulid_weights", "tae_preview_only", "loras", "lora_files"}  # fmt: skip
    only_place_the_work = {"n_threads", "max_vram", "offload_params_to_cpu", "enable_mmap",
                           "verbose", "lora_model_dir", "vae_decode_only",
                           "hires_upscalers_dir"}  # fmt: skip
    from pulid_sdcpp.pictures import parameters as module
    from pulid_sdcpp.pictures.people_text import PERSON_ENTRIES

    tables = (*module._GENERATION, *module._FILES, *module._CONTEXT, *PERSON_ENTRIES)
    written = {entry.option for entry in tables}
    named = {
        field.name
        for kind in (ContextOptions, GenerationOptions, IdentityOptions)
        for field in dataclasses.fields(kind)
    }
    assert named == written | elsewhere | only_place_the_work


@pytest.mark.parametrize(
    ("key", "value"),
    [("Steps", "four"), ("Size", "12"), ("Seed", ""), ("VAE tiling", "yes"), ("Cache mode", "?")],
)
def test_damaged_text_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"text is damaged|cache_mode is '\?'"):
        generation_options_from(PictureText("p", "", {key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [("PuLID weight", "x"), ("PuLID start step", "1.2.3"), ("PuLID box", "1 2 3")],
)
def test_damaged_people_are_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"text is damaged: {key} is"):
        people_from(PictureText("p", "", {"PuLID identity": "0123456789", key: value}))
    numbered = {"PuLID identity 1": "a", "PuLID identity 2": "b", f"{key} 2": value}
    with pytest.raises(ValueError, match=f"text is damaged: {key} 2 is"):
        people_from(PictureText("p", "", numbered))


def test_values_out_of_range_in_the_text_are_refused() -> None:
    with pytest.raises(ValueError, match="steps is 0"):
        generation_options_from(PictureText("p", "", {"Steps": "0"}))


@pytest.mark.parametrize(
    ("version", "said", "expected"),
    [
        ("v1", {}, ("ortho_v2", 8)),
        ("v1.1", {}, ("ortho_v2", 20)),
        ("v1", {"id_mode": "style"}, ("ortho", 16)),
        ("v1", {"id_mode": "plain", "id_zeros": 0}, ("none", 0)),
    ],
)
def test_sdxl_s_text_says_what_a_mode_is_a_name_for(
    tmp_path: Path, version: str, said: dict[str, Any], expected: tuple[str, int]
) -> None:
    weights = write_sdxl_pulid(tmp_path / "pulid.safetensors", version)
    context = ContextOptions(model_path="sdxl.safetensors", pulid_weights=weights)
    identity = Identity.from_array([[1.0, 2.0]], encoder=f"sdxl-{version}")
    options = IdentityOptions(people=(Person(identity),))
    text = describe_picture(context, GenerationOptions("p", **said), options)
    read = parse_text(format_text(text))
    found = generation_options_from(read)
    assert found.id_mode is None
    assert (found.id_projection, found.id_zeros) == expected
    assert people_from(read)[0].span["weight"] == 0.8
    nobody = describe_picture(context, GenerationOptions("p"), IdentityOptions())
    assert not any(key.startswith("PuLID") for key in nobody.values)
