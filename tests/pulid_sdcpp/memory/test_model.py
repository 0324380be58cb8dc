from __future__ import annotations

from dataclasses import replace

import pytest

from published_shapes import PUBLISHED_SIZES as MODELS
from pulid_sdcpp.memory.compute import decoder_bytes, flux_bytes, t5_bytes
from pulid_sdcpp.memory.model import (
    HOST_BYTES,
    Measures,
    Phase,
    PictureSizes,
    denoise_workspace,
    device_peak,
    phases,
)

PICTURE = PictureSizes(1024, 1024, identities=1)
PLAIN = Measures()
ALL = 6_777_000_000 + 126_000_000 + 246_000_000 + 9_525_000_000 + 99_000_000


def by_name(
    measures: Measures = PLAIN, picture: PictureSizes = PICTURE, **options: bool
) -> dict[str, Phase]:
    return {phase.name: phase for phase in phases(MODELS, picture, measures, **options)}


def test_weights_are_resident_and_buffers_come_and_go() -> None:
    found = by_name()
    assert list(found) == ["prompt", "denoise", "decode"]
    assert found["prompt"].device_bytes == ALL + t5_bytes()
    flux = flux_bytes(4096, 256, 3072, 24, identity_rows=512)
    workspace = denoise_workspace(MODELS, PICTURE)
    assert found["denoise"].device_bytes == ALL + flux + workspace
    assert found["decode"].device_bytes > ALL + decoder_bytes(1024, 1024, 128)
    assert {phase.host_bytes for phase in found.values()} == {HOST_BYTES}


def test_text_encoders_on_the_cpu_count_there() -> None:
    found = by_name(Measures(text_on_cpu=True))
    assert (
        found["denoise"].device_bytes == by_name()["denoise"].device_bytes - MODELS.clip - MODELS.t5
    )
    assert found["prompt"].host_bytes == HOST_BYTES + MODELS.clip + MODELS.t5 + t5_bytes()


def test_an_autoencoder_on_the_cpu_decodes_there() -> None:
    found = by_name(Measures(vae_on_cpu=True))
    assert found["decode"].device_bytes == ALL - MODELS.decoder
    assert found["decode"].host_bytes > HOST_BYTES + MODELS.decoder + decoder_bytes(1024, 1024, 128)


def test_offloaded_weights_are_on_the_device_one_module_at_a_time() -> None:
    found = by_name(Measures(offload=True, tile=(32, 32)))
    assert found["prompt"].device_bytes == MODELS.t5 + t5_bytes()
    assert found["decode"].device_bytes < 1_000_000_000
    assert {phase.host_bytes for phase in found.values()} == {HOST_BYTES + ALL}


def test_segments_take_their_budget_and_no_less_than_one_block() -> None:
    roomy = by_name(Measures(offload=True, flash_attention=True, segment_bytes=3 << 30))
    workspace = denoise_workspace(MODELS, PICTURE)
    assert roomy["denoise"].device_bytes == (3 << 30) + workspace
    assert roomy["prompt"].device_bytes == 3 << 30
    tight = by_name(Measures(offload=True, flash_attention=True, segment_bytes=1))
    flux = flux_bytes(4096, 256, 3072, 24, flash_attention=True, identity_rows=512)
    streams = 4 * 4 * 4352 * 3072
    assert tight["denoise"].device_bytes == (
        MODELS.diffusion_segment + MODELS.identity // 10 + flux + streams + workspace
    )
    assert tight["prompt"].device_bytes == MODELS.t5_segment + t5_bytes()
    # A network that fits is not cut: no more than it needs is taken.
    whole = by_name(Measures(offload=True, flash_attention=True, segment_bytes=100 << 30))
    assert whole == by_name(Measures(offload=True, flash_attention=True))


def test_true_cfg_holds_two_identities() -> None:
    two = by_name(picture=replace(PICTURE, identities=2))
    assert two["denoise"].device_bytes == by_name()["denoise"].device_bytes + MODELS.identity


def test_a_picture_to_start_from_is_encoded_first() -> None:
    found = by_name(picture=replace(PICTURE, from_picture=True))
    assert list(found) == ["picture", "prompt", "denoise", "decode"]
    assert found["picture"].device_bytes > ALL + 3_000_000_000
    tiled = by_name(Measures(tile=(32, 32)), replace(PICTURE, from_picture=True))
    assert tiled["picture"].device_bytes < ALL + 500_000_000


def test_tiles_are_no_larger_than_the_picture() -> None:
    small = PictureSizes(128, 128)
    assert phases(MODELS, small, Measures(tile=(32, 32))) == phases(MODELS, small, Measures())


def test_references_are_more_tokens() -> None:
    with_reference = by_name(picture=replace(PICTURE, references=((1024, 1024),)))
    assert (
        with_reference["denoise"].device_bytes > by_name()["denoise"].device_bytes + 4_000_000_000
    )


@pytest.mark.parametrize(
    "measures",
    [Measures(tile=(16, 24), flash_attention=True), Measures(tile=(32, 32), flash_attention=True)],
)
def test_without_a_device_everything_is_in_ram(measures: Measures) -> None:
    found = phases(MODELS, PICTURE, measures, on_cpu=True)
    assert device_peak(found) == 0
    for here, there in zip(found, phases(MODELS, PICTURE, measures), strict=True):
        assert here.host_bytes == there.device_bytes + HOST_BYTES
