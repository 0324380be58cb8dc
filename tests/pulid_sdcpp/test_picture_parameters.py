from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.options import (
    SAMPLING_METHODS,
    SCHEDULERS,
    ContextOptions,
    GenerationOptions,
    IdentityOptions,
)
from pulid_sdcpp.picture_parameters import (
    describe_picture,
    generation_options_from,
    identity_values_from,
)
from pulid_sdcpp.png_text import PictureText, format_text, parse_text

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
)


@given(generations)
def test_options_come_back_from_a_pictures_text(options: GenerationOptions) -> None:
    text = parse_text(format_text(describe_picture(CONTEXT, options)))
    assert generation_options_from(text) == options


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


def test_every_option_that_changes_a_picture_is_written() -> None:
    """A new option must be given a name in the text, or be listed here as one that is not."""
    # Written without the table.
    elsewhere = {"prompt", "negative_prompt", "width", "height", "seed", "batch_count",
                 "init_image", "mask_image", "ref_images", "strength",
                 "embedding", "cfg_start_step", "diffusion_model_path", "model_path",
                 "pulid_weights"}  # fmt: skip
    only_place_the_work = {"n_threads", "max_vram", "offload_params_to_cpu", "enable_mmap",
                           "keep_clip_on_cpu", "keep_vae_on_cpu", "verbose",
                           "lora_model_dir", "repack", "vae_decode_only"}  # fmt: skip
    from pulid_sdcpp import picture_parameters as module

    written = {e.option for e in (*module._GENERATION, *module._CONTEXT, *module._IDENTITY)}
    named = {
        field.name
        for kind in (ContextOptions, GenerationOptions, IdentityOptions)
        for field in dataclasses.fields(kind)
    }
    assert named == written | elsewhere | only_place_the_work


@pytest.mark.parametrize(("key", "value"), [("Steps", "four"), ("Size", "12"), ("Seed", "")])
def test_damaged_text_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(ValueError, match="text is damaged"):
        generation_options_from(PictureText("p", "", {key: value}))


def test_values_out_of_range_in_the_text_are_refused() -> None:
    with pytest.raises(ValueError, match="steps is 0"):
        generation_options_from(PictureText("p", "", {"Steps": "0"}))
