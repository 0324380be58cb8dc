from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from file_drafts import write_empty_safetensors
from published_shapes import write_autoencoder
from pulid_sdcpp import Device, GenerationError, GenerationOptions, StableDiffusion
from pulid_sdcpp.families.flux.layout import FluxInfo
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes
from pulid_sdcpp.memory import check as memory_check
from pulid_sdcpp.memory.check import (
    check_picture_fits,
    check_tokens_fit,
    computes_on_cpu,
    diffusion_device,
)
from pulid_sdcpp.native.devices import Placement

GIB = 1 << 30
FLUX = FluxInfo("flux.gguf", 19, 38, 3072, 128, False, 4096, 768, 64)
CPU = Device("CPU", "", "cpu", GIB, GIB)
CARD = Device("CUDA0", "", "gpu", GIB, GIB)


def loaded_with(**options: object) -> dict[str, object]:
    plain: dict[str, object] = dict.fromkeys(("vae_path", "taesd_path"), "")
    switches = ("diffusion_flash_attn", "flash_attn", "vae_conv_direct")
    return {**plain, **dict.fromkeys(switches, False), **options}


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_check, "total_memory_bytes", lambda: 16 * GIB)


@pytest.mark.usefixtures("memory")
def test_a_picture_beyond_all_memory_is_refused_with_the_nearest() -> None:
    with pytest.raises(GenerationError) as caught:
        check_picture_fits(GenerationOptions("", width=4096, height=4096), loaded_with(), FLUX)
    assert str(caught.value) == (
        "out of memory: 4096x4096 needs 396 GiB to compute in, and this computer has 16 GiB; "
        "1776x1776 could fit"
    )
    check_picture_fits(GenerationOptions("", width=1776, height=1776), loaded_with(), FLUX)


@pytest.mark.usefixtures("memory")
def test_flash_attention_and_tiles_are_taken_into_account(tmp_path: Path) -> None:
    large = GenerationOptions("", width=2048, height=2048)
    with pytest.raises(GenerationError):
        check_picture_fits(large, loaded_with(), FLUX)
    flash = loaded_with(diffusion_flash_attn=True)
    check_picture_fits(large, flash, FLUX)
    decodes = {**flash, "vae_path": str(write_autoencoder(tmp_path / "ae.safetensors"))}
    with pytest.raises(GenerationError, match="2048x2048 needs 26 GiB"):
        check_picture_fits(large, decodes, FLUX)
    within = {"first_stage_model.decoder.conv_in.weight": (512, 16, 3, 3)}
    checkpoint = write_empty_safetensors(tmp_path / "all.safetensors", within)
    with pytest.raises(GenerationError, match="2048x2048 needs 26 GiB"):
        check_picture_fits(large, {**flash, "model_path": str(checkpoint)}, FLUX)
    tiled = GenerationOptions("", width=2048, height=2048, vae_tiling=True)
    check_picture_fits(tiled, decodes, FLUX)
    tiny = {**decodes, "taesd_path": "taef1.safetensors"}
    check_picture_fits(large, tiny, FLUX)
    narrow, largest = replace(FLUX, hidden_size=128), GenerationOptions("", width=4096, height=4096)
    with pytest.raises(GenerationError, match="4096x4096 needs 30 GiB"):
        check_picture_fits(largest, tiny, narrow)


def test_where_memory_has_no_firm_size_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_check, "total_memory_bytes", lambda: None)
    check_picture_fits(GenerationOptions("", width=4096, height=4096), loaded_with(), FLUX)


@pytest.mark.parametrize(
    ("placement", "available", "expected"),
    [
        (Placement(), [CPU], True),
        (Placement(), [CARD, CPU], False),
        (Placement("CPU", "CPU", "CPU"), [CARD, CPU], True),
        (Placement("CUDA0", "CPU", "CPU"), [CARD, CPU], False),
    ],
)
def test_which_memory_it_is(placement: Placement, available: list[Device], expected: bool) -> None:
    assert computes_on_cpu(placement, available) is expected


@pytest.mark.engine
def test_the_engine_refuses_before_it_begins(
    standin_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_check, "total_memory_bytes", lambda: GIB // 8)
    with StableDiffusion(
        diffusion_model_path=standin_weights["flux-f16"],
        clip_l_path=standin_weights["clip_l"],
        taesd_path=standin_weights["taesd"],
        backend="cpu",
        diffusion_flash_attn=False,
    ) as engine:
        with pytest.raises(GenerationError, match="out of memory: 1024x1024 needs"):
            engine.generate_image("a face", width=1024, height=1024, cfg_scale=1.0)
        pictures = engine.generate_image(
            "a face", width=64, height=64, cfg_scale=1.0, sample_steps=1
        )
    assert len(pictures) == 1


@pytest.mark.parametrize("device", ["CUDA0", "ROCm1", "MUSA0"])
def test_a_picture_of_more_tokens_than_the_kernels_count_is_refused(device: str) -> None:
    with pytest.raises(GenerationError) as caught:
        check_tokens_fit(GenerationOptions("", width=4096, height=4096), device)
    assert str(caught.value) == (
        f"4096x4096 is too large for {device}: with the text it has 65792 tokens, and ggml's "
        "kernels there count to 65535; 4080x4080 is possible"
    )
    for width, height in ((4080, 4080), (4096, 4048), (1024, 4096)):
        check_tokens_fit(GenerationOptions("", width=width, height=height), device)


@pytest.mark.parametrize("device", ["CPU", "Vulkan0", "MTL0"])
def test_others_count_further(device: str) -> None:
    check_tokens_fit(GenerationOptions("", width=4096, height=4096), device)


@pytest.mark.parametrize(
    ("placement", "available", "expected"),
    [
        (Placement(), [CPU], "CPU"),
        (Placement(), [CPU, CARD], "CUDA0"),
        (Placement(diffusion="CPU"), [CPU, CARD], "CPU"),
        (Placement(clip="CPU"), [CPU, CARD], "CUDA0"),
    ],
)
def test_the_device_of_the_diffusion_model(
    placement: Placement, available: list[Device], expected: str
) -> None:
    assert diffusion_device(placement, available) == expected


@pytest.mark.usefixtures("memory")
def test_sdxl_has_sizes_of_its_own() -> None:
    large = GenerationOptions("", width=4096, height=4096)
    with pytest.raises(GenerationError, match=r"4096x4096 needs 163 GiB .* 2240x2240 could fit"):
        check_picture_fits(large, loaded_with(), UnetSizes())
    check_picture_fits(large, loaded_with(diffusion_flash_attn=True), UnetSizes())
    with pytest.raises(GenerationError) as caught:
        check_tokens_fit(large, "CUDA0", is_unet=True)
    assert str(caught.value) == (
        "4096x4096 is too large for CUDA0: it has 65536 tokens, and ggml's kernels there count to "
        "65535; 4032x4032 is possible"
    )
