from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from published_shapes import (
    write_autoencoder,
    write_clip_l,
    write_flux,
    write_pulid,
    write_t5,
)
from pulid_sdcpp import (
    ContextOptions,
    Device,
    DeviceError,
    GenerationOptions,
    MemoryPlanError,
    ModelFileError,
    NativeLibraryError,
    Plan,
    plan_memory,
)
from pulid_sdcpp.memory import plan as plan_module
from pulid_sdcpp.system.system_memory import ComputerMemory
from pulid_sdcpp.tensors.tensor_header import TensorInfo

GIB = 1 << 30
CPU = Device("CPU", "a processor", "cpu", 16 * GIB, 16 * GIB)
CARD = Device("Vulkan0", "a card", "gpu", 11 * GIB, 12 * GIB)
SHARED = Device("Vulkan1", "a part of the processor", "igpu", 6 * GIB, 8 * GIB)
PICTURE = GenerationOptions("a face", width=1024, height=1024)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ContextOptions:
    """The published files at their true sizes."""
    folder = tmp_path_factory.mktemp("published")
    return ContextOptions(
        diffusion_model_path=write_flux(folder / "flux1-schnell-Q4_0.gguf"),
        vae_path=write_autoencoder(folder / "ae.safetensors"),
        clip_l_path=write_clip_l(folder / "clip_l.safetensors"),
        t5xxl_path=write_t5(folder / "t5xxl_fp16.safetensors"),
        pulid_weights=write_pulid(folder / "pulid_flux_v0.9.1.safetensors"),
        vae_decode_only=True,
    )


def plan(
    context: ContextOptions,
    picture: GenerationOptions = PICTURE,
    vram: float | str = 12,
    available: list[Device] | None = None,
    **options: int,
) -> Plan:
    there = [CARD, CPU] if available is None else available
    return plan_memory(context, picture, vram=vram, available=there, **options)  # type: ignore[arg-type]


def test_flux_with_a_person_at_1024_fits_4_gib(context: ContextOptions) -> None:
    found = plan(context, vram=4)
    assert found.device == "Vulkan0"
    assert found.device_peak_bytes <= 4 * GIB
    assert found.flags == (*("--offload-to-cpu", "--max-vram", "3.41", "--vae-tiling"),)
    assert found.context["max_vram"] == pytest.approx(3.41)
    assert [phase.name for phase in found.phases] == ["prompt", "denoise", "decode"]
    # All weights wait in RAM: 6.8 GB, 9.5 GB and the rest.
    assert 16 * GIB < found.host_peak_bytes < 17 * GIB
    applied, picture = found.apply(context, PICTURE)
    assert applied.offload_params_to_cpu
    assert (applied.max_vram, picture.vae_tiling) == (found.context["max_vram"], True)
    assert applied.t5xxl_path == context.t5xxl_path


def test_tiles_at_1024_are_chosen_without_being_asked_for(context: ContextOptions) -> None:
    found = plan(context, vram=12)
    assert found.generation == {"vae_tiling": True}
    assert any("a tensor larger than drivers allocate" in note for note in found.notes)
    assert found.placements == {"diffusion": "Vulkan0", "clip": "CPU", "vae": "Vulkan0"}


def test_auto_takes_what_is_free_now(context: ContextOptions) -> None:
    assert plan(context, vram="auto").budget_bytes == CARD.memory_free_bytes
    on_the_other = replace(context, backend="vulkan1")
    ram = ComputerMemory(64 * GIB, 60 * GIB)
    found = plan(on_the_other, vram="auto", available=[CARD, SHARED, CPU], ram=ram)
    assert (found.device, found.budget_bytes) == ("Vulkan1", 6 * GIB)
    assert plan(context, vram="auto", available=[SHARED, CARD, CPU]).device == "Vulkan0"


def test_a_driver_that_does_not_say_what_is_free_is_an_error(context: ContextOptions) -> None:
    silent = replace(CARD, memory_free_bytes=0)
    with pytest.raises(DeviceError, match="the driver of Vulkan0 does not say"):
        plan(context, vram="auto", available=[silent, CPU])
    assert plan(context, vram=8, available=[silent, CPU]).device == "Vulkan0"


@pytest.mark.parametrize(
    ("vram", "options"), [("auto", {}), (4, {"this_computer": True}), ("auto", {"backend": "cpu"})]
)
def test_without_a_card_there_is_nothing_to_do(
    context: ContextOptions, vram: float | str, options: dict[str, object]
) -> None:
    there = [CPU]
    if "backend" in options:
        context, there = replace(context, backend=str(options.pop("backend"))), [CARD, CPU]
    found = plan(context, vram=vram, available=there, **options)  # type: ignore[arg-type]
    assert (found.device, found.budget_bytes, found.flags) == ("CPU", None, ())
    assert found.device_peak_bytes == 0
    assert found.host_peak_bytes > 20 * GIB
    assert "no graphics device to plan for" in found.summary
    assert found.apply(context, PICTURE) == (context, PICTURE)


def test_a_number_is_also_planned_for_a_card_that_is_elsewhere(
    context: ContextOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan(context, vram=4, available=[CPU]).device == "the graphics card"

    def no_engine() -> list[Device]:
        raise NativeLibraryError("the compiled engine is not installed")

    monkeypatch.setattr(plan_module, "devices", no_engine)
    assert plan_memory(context, PICTURE, vram=4).device == "the graphics card"
    with pytest.raises(NativeLibraryError):
        plan_memory(context, PICTURE)


def test_what_does_not_fit_is_refused_with_the_nearest_that_does(context: ContextOptions) -> None:
    with pytest.raises(MemoryPlanError) as caught:
        plan(context, vram=1.5)
    assert str(caught.value) == (
        "1024x1024 does not fit into 1.50 GiB of Vulkan0: it needs 1.76 GiB, and the largest "
        "picture that fits is 848x848; give it more with --vram, or make a smaller picture"
    )
    assert plan(context, vram=1.76).device_peak_bytes <= 1.76 * GIB
    assert plan(context, replace(PICTURE, width=848, height=848), vram=1.5).flags
    with pytest.raises(MemoryPlanError, match="no size fits"):
        plan(context, vram=0.5)


def test_what_is_decided_already_is_kept(context: ContextOptions) -> None:
    mine = replace(context, keep_clip_on_cpu=True, offload_params_to_cpu=True)
    found = plan(mine, vram=4)
    assert found.placements["clip"] == "CPU"
    assert "keep_clip_on_cpu" not in found.context
    assert "offload_params_to_cpu" not in found.context
    assert found.context["max_vram"] == pytest.approx(3.41)
    tiled = replace(PICTURE, vae_tiling=True, vae_tile_size=(64, 64))
    assert "vae_tile_size" not in plan(context, tiled, vram=4).generation
    relative = replace(PICTURE, vae_tiling=True, vae_relative_tile_size=(0.5, 0.5))
    same = [plan(context, picture, vram=6).phases for picture in (tiled, relative)]
    assert same[0] == same[1]


def test_placements_are_kept(context: ContextOptions) -> None:
    placed = replace(context, backend="diffusion=vulkan0,clip=vulkan0,vae=cpu")
    found = plan(placed, vram=20)
    assert found.placements == {"diffusion": "Vulkan0", "clip": "Vulkan0", "vae": "CPU"}
    assert found.context == {}
    away = replace(context, backend="diffusion=vulkan0,clip=cpu", keep_clip_on_cpu=True)
    assert plan(away, vram=12).placements["clip"] == "CPU"


@pytest.mark.parametrize(
    ("vram", "words"),
    [(0.1, "vram is 0.1"), (-4, "vram is -4"), (float("nan"), "vram is nan"), ("4", "vram is '4'")],
)
def test_a_budget_out_of_range_is_a_mistake(
    context: ContextOptions, vram: float, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        plan(context, vram=vram)


def test_two_budgets_are_a_mistake(context: ContextOptions) -> None:
    with pytest.raises(ValueError, match="max_vram is given together with vram"):
        plan(replace(context, max_vram=2.0))


def test_a_missing_file_is_named(context: ContextOptions, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="absent"):
        plan(replace(context, diffusion_model_path=tmp_path / "absent.gguf"))


def test_loras_count_with_twice_their_files(context: ContextOptions, tmp_path: Path) -> None:
    def device(picture: GenerationOptions, **options: Any) -> int:
        found = {phase.name: phase for phase in plan(context, picture, vram=48, **options).phases}
        return found["denoise"].device_bytes

    path = tmp_path / "large.safetensors"
    path.touch()
    os.truncate(path, 500_000_000)
    plain = device(PICTURE)
    named = replace(PICTURE, prompt="a face<lora:large>", lora_files=(("large", path),))
    assert device(named) - plain == 1_000_000_000
    assert device(replace(named, prompt="a face<lora:large:0>")) == plain
    absent = (TensorInfo("large", (250_000_000,), "f16", 0, 500_000_000),)
    assert device(PICTURE, layouts={"lora_files": absent}) - plain == 1_000_000_000


def test_everything_that_makes_a_picture_larger_counts(context: ContextOptions) -> None:
    def denoise(options: ContextOptions, picture: GenerationOptions) -> int:
        found = {phase.name: phase for phase in plan(options, picture, vram=48).phases}
        return found["denoise"].device_bytes

    plain = denoise(context, PICTURE)
    nobody = replace(context, pulid_weights=None)
    assert denoise(nobody, PICTURE) < plain - 126_000_000
    assert denoise(context, replace(PICTURE, cfg_scale=2.0)) - plain == pytest.approx(
        126e6, rel=0.01
    )
    long = replace(PICTURE, negative_prompt="word " * 200)
    assert denoise(context, long) > plain + 60_000_000
    reference = Image.new("RGB", (512, 768))
    kontext = replace(PICTURE, ref_images=(reference,))
    assert denoise(context, kontext) > plain + GIB // 2
    scores = replace(context, diffusion_flash_attn=False)
    assert denoise(scores, PICTURE) > plain + 3 * GIB // 2
    unscaled = replace(kontext, auto_resize_ref_image=False)
    assert plain < denoise(context, unscaled) < denoise(context, kontext)
    assert plan(context, kontext, vram=48).phases[0].name == "picture"


def test_the_default_picture_is_planned_without_one(context: ContextOptions) -> None:
    found = plan_memory(context, vram=24, available=[CARD])
    assert (found.width, found.height) == (512, 512)
    assert found.notes == ("everything fits as it is: nothing to do",)
    assert found.summary.startswith("everything on Vulkan0: ")


def test_every_person_takes_room(context: ContextOptions) -> None:
    alone = plan(context, vram=12)
    assert plan(context, vram=12, people=0).phases == alone.phases
    identity = 126e6
    for people, cfg_scale, more in ((2, 1.0, 1), (4, 1.0, 3), (1, 2.0, 1), (2, 2.0, 2)):
        found = plan(context, replace(PICTURE, cfg_scale=cfg_scale), vram=12, people=people)
        denoise, before = found.phases[1], alone.phases[1]
        grown = denoise.device_bytes - before.device_bytes
        assert grown == pytest.approx(more * identity, rel=0.1)


def test_a_device_that_shares_the_computers_memory(context: ContextOptions) -> None:
    free = 24 * GIB
    apple = Device("MTL0", "Apple M2 Max", "gpu", free, free)
    ram = ComputerMemory(32 * GIB, 28 * GIB)
    found = plan(context, vram="auto", available=[apple, CPU], ram=ram)
    assert (found.budget_bytes, found.shared_bytes) == (24 * GIB, 28 * GIB)
    assert found.device_peak_bytes < found.shared_peak_bytes <= 28 * GIB
    assert "that it shares with the computer" in found.summary
    # What other programs use is not the device's, whatever its driver says.
    tight = replace(ram, available_bytes=20 * GIB)
    assert plan(context, vram="auto", available=[apple, CPU], ram=tight).budget_bytes == 20 * GIB
    # A number limits the device; both have the whole memory.
    assert plan(context, vram=20, available=[apple, CPU], ram=tight).shared_bytes == 32 * GIB
    with pytest.raises(MemoryPlanError, match="GiB that MTL0 shares with the computer: it needs"):
        plan(context, vram="auto", available=[apple, CPU], ram=replace(ram, available_bytes=GIB))
    unknown = Device("Vulkan0", "AMD Radeon 780M", "igpu", 0, 0)
    assert plan(context, vram="auto", available=[unknown], ram=ram).budget_bytes == 28 * GIB


def test_a_second_pass_is_planned_at_its_size(context: ContextOptions) -> None:
    found = plan(context, replace(PICTURE, width=512, height=512, hires=True), vram=24)
    assert (found.width, found.height) == (1024, 1024)
    assert found.phases == plan(context, vram=24).phases
