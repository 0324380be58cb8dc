"""The formula of the UNet's buffer against what the engine's log said at the published sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes
from pulid_sdcpp.memory.unet_compute import (
    clip_tokens,
    skipped_bytes,
    unet_bytes,
    unet_tokens,
)

MIB = 1 << 20
SDXL = UnetSizes()
# Width, height, flash attention, MiB: of a checkpoint of the published sizes on the CPU. A file of
# 2.6 GB (all holes) is loaded for that, so it is not measured again here.
MEASURED = [
    (256, 256, False, 65.75),
    (384, 384, False, 95.93),
    (256, 256, True, 31.32),
    (384, 384, True, 69.71),
    (512, 512, False, 132.05),
    (768, 1024, False, 515.52),
    (896, 1152, False, 808.81),
    (1024, 1024, False, 830.86),
    (1024, 1536, False, 1701.55),
    (512, 512, True, 123.46),
    (768, 1024, True, 369.14),
    (896, 1152, True, 484.31),
    (1024, 1024, True, 491.99),
    (1024, 1536, True, 737.67),
]


@pytest.mark.parametrize(("width", "height", "flash", "measured"), MEASURED)
def test_it_is_as_it_was_measured(width: int, height: int, flash: bool, measured: float) -> None:
    predicted = unet_bytes(SDXL, width, height, flash_attention=flash, on_cpu=True) / MIB
    print(f"predicted {predicted:.2f}, measured {measured:.2f} MiB")
    assert measured - 0.01 <= predicted <= measured * 1.07


def test_a_person_does_not_move_the_peak_of_usual_sizes() -> None:
    for size in ((768, 1024), (896, 1152), (1024, 1024)):
        for flash in (False, True):
            nobody, person = (
                unet_bytes(SDXL, *size, flash_attention=flash, identity_rows=rows, on_cpu=True)
                for rows in (0, 40)
            )
            assert nobody == person


def test_sizes_are_filled_up_to_multiples_of_64() -> None:
    assert unet_tokens(1024, 1024, 0) == 16384
    assert unet_tokens(1024, 1024, 1) == 4096
    assert unet_tokens(1000, 1010, 2) == 1024
    assert unet_bytes(SDXL, 1000, 1010) == unet_bytes(SDXL, 1024, 1024)


def test_devices_need_a_mask_where_tokens_are_no_multiple_of_256() -> None:
    small = replace(SDXL, model_channels=32)  # else a convolution is larger
    masked, plain = (
        unet_bytes(small, 896, 1152, flash_attention=True, on_cpu=on_cpu)
        for on_cpu in (False, True)
    )
    assert masked > plain
    assert unet_bytes(small, 768, 1024, flash_attention=True) == unet_bytes(
        small, 768, 1024, flash_attention=True, on_cpu=True
    )


def test_longer_prompts_take_more() -> None:
    assert [clip_tokens("x" * count) for count in (0, 225, 226, 451)] == [77, 77, 154, 231]
    short, long = (unet_bytes(SDXL, 1024, 1024, tokens) for tokens in (77, 154))
    # Keys and values of all 70 layers, whose widths are 83,200 together; and the text itself.
    assert long - short == 77 * 4 * (2 * 83_200 + 2048)


def test_what_waits_for_the_way_up() -> None:
    at_once = 3 * 320 * 16384 + (320 + 2 * 640) * 4096 + (640 + 2 * 1280) * 1024
    assert skipped_bytes(SDXL, 1024, 1024) == 4 * at_once
