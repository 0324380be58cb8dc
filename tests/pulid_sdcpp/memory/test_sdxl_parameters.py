"""What SDXL's weights and a person in its layers take, from headers of the published sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine_memory import allocations
from pulid_sdcpp import ContextOptions, GenerationOptions, StableDiffusion, plan_memory
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes
from pulid_sdcpp.memory.measures import Given, choose_measures, largest_size
from pulid_sdcpp.memory.model import Measures, PictureSizes, phases
from pulid_sdcpp.memory.parameters import ModelSizes, model_sizes
from pulid_sdcpp.memory.picture_sizes import picture_sizes
from pulid_sdcpp.model_files.published_layout import published_layout
from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

MIB = 1 << 20
V1, V11 = "ip-adapter_pulid_sdxl_fp16.safetensors", "pulid_v1.1.safetensors"
PICTURE = GenerationOptions("a face", width=1024, height=1024, cfg_scale=1.2)


def specs(role: str, name: str) -> list[TensorSpec]:
    return [TensorSpec(one.name, one.shape, one.dtype) for one in published_layout(role, name)]


def absent(checkpoint: str, pulid: str, **options: object) -> ModelSizes:
    names = {"model_path": checkpoint, "vae_path": "sdxl.vae.safetensors", "pulid_weights": pulid}
    roles = {"model_path": "checkpoint", "vae_path": "vae", "pulid_weights": "pulid"}
    context = ContextOptions(**{**names, **options})  # type: ignore[arg-type]
    layouts = {field: published_layout(roles[field], name) for field, name in names.items()}
    return model_sizes(context, layouts)


def test_weights_are_as_the_engine_allocated_them() -> None:
    sizes = absent("sdxl_lightning_4step.q4_0.gguf", V1, vae_decode_only=True)
    # MiB that the engine's log named for such a file; of both text encoders only the larger.
    for predicted, measured in (
        (sizes.diffusion, 1866.27),
        (sizes.clip_g, 380.09),
        (sizes.decoder, 94.47),
    ):
        assert measured - 0.01 <= predicted / MIB <= measured * 1.002
    assert (sizes.encoder, sizes.t5, sizes.decoder_channels) == (0, 0, 128)
    assert sizes.unet == UnetSizes()


@pytest.mark.engine
def test_both_text_encoders_take_what_the_engine_allocates(
    small_sdxl_weights: dict[str, Path], load_sdxl: Callable[..., StableDiffusion]
) -> None:
    names = ("clip_l", "clip_g", "taesd")
    files = {f"{name}_path": small_sdxl_weights[name] for name in names}
    sizes = model_sizes(
        ContextOptions(diffusion_model_path=small_sdxl_weights["unet-f16"], **files)
    )
    with allocations() as seen, load_sdxl(small_sdxl_weights, pulid=None, repack=False):
        pass
    allocated = seen.found["clip", "params"]
    assert min(sizes.clip, sizes.clip_g) > 0.1 * allocated
    assert allocated - MIB // 100 <= sizes.clip + sizes.clip_g <= allocated * 1.02


@pytest.mark.parametrize(
    ("pulid", "dtype", "rows", "size_bytes"),
    # 2 x 83,200 channels x rows, and at most 128 bytes for each of 140 tensors.
    [
        (V1, "f16", 16, 2 * 83_200 * 16 * 2),
        (V11, "f16", 40, 2 * 83_200 * 40 * 2),
    ],
)
def test_an_identity(pulid: str, dtype: str, rows: int, size_bytes: int) -> None:
    sizes = absent("sd_xl_base_1.0.safetensors", pulid, pulid_dtype=dtype)
    assert sizes.identity_rows == rows
    assert sizes.identity == size_bytes + 140 * 128
    assert sizes.identity < (5.4e6 if pulid == V1 else 13.5e6)


@pytest.mark.parametrize(("tokens", "rows"), [(0, 16), (10, 16), (25, 32), (40, 48)])
def test_several_photos_make_larger_identities_of_v1(tokens: int, rows: int) -> None:
    """One row is that of the zero tokens; rows are multiples of 8."""
    one = absent("sd_xl_base_1.0.safetensors", V1)
    names = {"model_path": "sd_xl_base_1.0.safetensors", "pulid_weights": V1}
    roles = {"model_path": "checkpoint", "pulid_weights": "pulid"}
    layouts = {field: published_layout(roles[field], name) for field, name in names.items()}
    context = ContextOptions(**names)  # type: ignore[arg-type]
    sizes = model_sizes(context, layouts, tokens)
    assert sizes.identity_rows == rows
    assert (sizes.identity - 140 * 128) * 16 == (one.identity - 140 * 128) * rows
    peaks = [
        plan_memory(context, PICTURE, vram=8.0, available=[], layouts=layouts, id_tokens=n)
        for n in (0, tokens)
    ]
    more = peaks[1].device_peak_bytes - peaks[0].device_peak_bytes
    assert more >= sizes.identity - one.identity


def test_a_file_is_planned_as_its_layout(tmp_path: Path) -> None:
    checkpoint = tmp_path / "sdxl_lightning_4step.q8_0.gguf"
    write_gguf(checkpoint, specs("checkpoint", checkpoint.name), {"general.architecture": "sdxl"})
    pulid = tmp_path / V11
    write_safetensors(pulid, specs("pulid", V11))
    vae = tmp_path / "sdxl.vae.safetensors"
    write_safetensors(vae, specs("vae", vae.name))
    context = ContextOptions(model_path=checkpoint, vae_path=vae, pulid_weights=pulid)
    assert asdict(model_sizes(context)) == asdict(absent(checkpoint.name, V11))


def test_a_smaller_unet_is_told_from_its_tensors(tmp_path: Path) -> None:
    from pulid_sdcpp.families.sdxl.unet_shapes import unet_tensor_shapes

    small = UnetSizes(32, (2, 3), adm_width=1000, in_channels=9)
    path = tmp_path / "small.safetensors"
    write_safetensors(
        path,
        [
            TensorSpec(f"model.diffusion_model.{name}", shape, "f16")
            for name, shape in unet_tensor_shapes(small)
        ],
    )
    sizes = model_sizes(ContextOptions(model_path=path))
    assert sizes.unet == small
    assert sizes.hidden == 64
    assert sizes.identity == 0


def test_phases_of_sdxl() -> None:
    sizes = absent("sd_xl_base_1.0.safetensors", V11, vae_decode_only=True)
    context = ContextOptions(model_path="x", pulid_weights="y", t5xxl_path=None)
    two, none = (picture_sizes(context, PICTURE, people) for people in (2, 1))
    assert (two.identities, none.identities) == (3, 2)  # one more for true CFG
    flash = Measures(flash_attention=True, tile=(32, 32))
    prompt, denoise, decode = (phase.device_bytes for phase in phases(sizes, two, flash))
    weights = sizes.diffusion + sizes.clip + sizes.clip_g + sizes.decoder + 3 * sizes.identity
    assert weights < prompt < weights + 8 * MIB
    assert weights + 491 * MIB < denoise < weights + 600 * MIB
    assert decode > weights
    fewer = phases(sizes, none, flash)[1].device_bytes
    assert denoise - fewer == sizes.identity


def test_segments_let_it_fit_a_card_of_two_gigabytes() -> None:
    names = {"model_path": "sdxl.q4_0.gguf", "pulid_weights": V1}
    roles = {"model_path": "checkpoint", "pulid_weights": "pulid"}
    layouts = {field: published_layout(roles[field], name) for field, name in names.items()}
    context = ContextOptions(**names)  # type: ignore[arg-type]
    plan = plan_memory(context, PICTURE, vram=2.0, available=[], layouts=layouts)
    assert plan.context["offload_params_to_cpu"]
    assert 0 < plan.context["max_vram"] < 2
    assert plan.device_peak_bytes <= 2 << 30
    assert plan.people == 1


def test_a_size_that_fits_is_one_that_sdxl_has() -> None:
    sizes = absent("sd_xl_base_1.0.safetensors", V11, vae_decode_only=True)
    picture = PictureSizes(2048, 2560, identities=2)
    given = Given(flash_attention=False)
    size = largest_size(sizes, picture, 3 << 30, given)
    assert size is not None
    assert size[0] % 64 == size[1] % 64 == 0
    assert choose_measures(sizes, replace(picture, width=size[0], height=size[1]), 3 << 30, given)
