"""The decision, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from published_shapes import PUBLISHED_SIZES as MODELS
from pulid_sdcpp.memory.measures import (
    CONTEXT_BYTES,
    GIB,
    Given,
    choose_measures,
    largest_size,
    least_budget,
    shared_peak,
)
from pulid_sdcpp.memory.model import Measures, PictureSizes, device_peak, phases

SQUARE = PictureSizes(1024, 1024, identities=1)
SMALL = PictureSizes(512, 512, identities=1)
TILE = (32, 32)
SMALL_T5 = replace(MODELS, t5=2_900_000_000, t5_segment=120_000_000)
TINY = replace(MODELS, tiny=True, decoder=5_000_000)


def words(measures: Measures | None) -> str:
    if measures is None:
        return "does not fit"
    taken = {
        "tiles": measures.tile is not None,
        "text on CPU": measures.text_on_cpu,
        "offload": measures.offload,
        "segments": measures.segment_bytes > 0,
        "autoencoder on CPU": measures.vae_on_cpu,
    }
    return ", ".join(name for name, is_taken in taken.items() if is_taken)


@pytest.mark.parametrize(
    ("models", "picture", "gib", "expected"),
    [
        (MODELS, SQUARE, 32, "tiles"),
        (MODELS, SMALL, 32, ""),
        (MODELS, SQUARE, 20, "tiles"),
        (MODELS, SQUARE, 18.5, "tiles"),
        (MODELS, SQUARE, 16, "tiles, text on CPU"),
        (MODELS, SQUARE, 12, "tiles, text on CPU"),
        (MODELS, SQUARE, 8, "tiles, text on CPU"),
        (MODELS, SQUARE, 6, "tiles, offload, segments"),
        (MODELS, SQUARE, 4, "tiles, offload, segments"),
        (MODELS, SQUARE, 1.5, "does not fit"),
        (MODELS, SMALL, 12, "text on CPU"),
        (MODELS, SMALL, 4, "offload, segments"),
        (MODELS, SMALL, 2, "tiles, offload, segments"),
        (SMALL_T5, SQUARE, 12, "tiles"),
        (SMALL_T5, SQUARE, 10, "tiles, text on CPU"),
        (SMALL_T5, SMALL, 12, ""),
        (TINY, SQUARE, 12, "text on CPU"),
    ],
)
def test_the_cheapest_measures_that_are_enough(
    models: object, picture: PictureSizes, gib: float, expected: str
) -> None:
    chosen = choose_measures(models, picture, int(gib * GIB))  # type: ignore[arg-type]
    assert words(chosen) == expected
    if chosen is not None:
        peak = device_peak(phases(models, picture, chosen))  # type: ignore[arg-type]
        assert peak + CONTEXT_BYTES <= gib * GIB


def test_tiles_shrink_before_the_autoencoder_leaves_the_card() -> None:
    # An autoencoder four times as wide: the engine's own tiles take 1.6 GiB.
    wide = replace(MODELS, decoder_channels=512)
    picture = PictureSizes(256, 256)
    chosen = choose_measures(wide, picture, int(1.9 * GIB))
    assert chosen is not None
    assert (chosen.tile, chosen.vae_on_cpu) == ((24, 24), False)
    smallest = choose_measures(wide, picture, int(1.3 * GIB))
    assert smallest is not None
    assert (smallest.tile, smallest.vae_on_cpu) == ((16, 16), False)
    away = choose_measures(replace(wide, decoder_channels=2048), picture, GIB)
    assert away is not None
    assert away.vae_on_cpu


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Given(flash_attention=False), "tiles, offload, segments"),
        (Given(offload=True), "tiles, offload"),
        (Given(text_on_cpu=False), "tiles, offload"),
        (Given(tiling=True), "tiles, text on CPU"),
        (Given(vae_on_cpu=True), "text on CPU, autoencoder on CPU"),
        (Given(vae_on_cpu=False), "tiles, text on CPU"),
    ],
)
def test_what_is_given_is_kept(given: Given, expected: str) -> None:
    assert words(choose_measures(MODELS, SQUARE, 10 * GIB, given)) == expected


def test_flash_attention_is_on_unless_it_was_switched_off() -> None:
    enough = 8 * GIB
    assert choose_measures(MODELS, SQUARE, enough, Given(text_on_cpu=True)) is not None
    without = choose_measures(MODELS, SQUARE, enough, Given(flash_attention=False))
    assert without is not None
    assert (without.flash_attention, without.offload) == (False, True)


def test_a_given_tile_is_kept_even_where_it_does_not_fit() -> None:
    given = Given(tiling=True, tile=(128, 128))
    chosen = choose_measures(MODELS, SQUARE, 12 * GIB, given)
    assert chosen is not None
    assert chosen.tile == (128, 128)
    tight = choose_measures(MODELS, SQUARE, 4 * GIB, given)
    assert tight is not None
    assert tight.vae_on_cpu


def test_the_least_budget_is_enough_and_less_is_not() -> None:
    least = least_budget(MODELS, SQUARE)
    assert 1.5 * GIB < least < 2 * GIB
    assert choose_measures(MODELS, SQUARE, least + GIB // 100) is not None
    assert choose_measures(MODELS, SQUARE, least - GIB // 100) is None


def test_the_largest_size_fits_and_the_next_does_not() -> None:
    budget = int(1.5 * GIB)
    found = largest_size(MODELS, SQUARE, budget)
    assert found is not None
    width, height = found
    assert width == height < 1024
    assert least_budget(MODELS, replace(SQUARE, width=width, height=height)) <= budget
    larger = replace(SQUARE, width=width + 16, height=height + 16)
    assert least_budget(MODELS, larger) > budget
    wide = largest_size(MODELS, PictureSizes(1536, 1024), budget)
    assert wide is not None
    assert wide[0] / wide[1] == pytest.approx(1.5, abs=0.05)


def test_no_useless_size_is_offered() -> None:
    assert largest_size(MODELS, SQUARE, GIB // 2) is None


def test_one_memory_for_both_holds_both() -> None:
    """On a device without memory of its own, offloaded weights would be there twice."""
    own = choose_measures(MODELS, SQUARE, 8 * GIB)
    assert own is not None
    assert own.offload or own.text_on_cpu
    found = phases(MODELS, SQUARE, own)
    whole = shared_peak(found)
    assert whole >= device_peak(found) + min(phase.host_bytes for phase in found)
    least = least_budget(MODELS, SQUARE, shared=True)
    assert choose_measures(MODELS, SQUARE, 64 * GIB, shared=least) is not None
    assert choose_measures(MODELS, SQUARE, 64 * GIB, shared=least - GIB) is None
    taken = choose_measures(MODELS, SQUARE, 64 * GIB, shared=least)
    assert taken is not None
    assert not taken.offload
    assert largest_size(MODELS, SQUARE, 64 * GIB, shared=least - GIB // 8) is not None
