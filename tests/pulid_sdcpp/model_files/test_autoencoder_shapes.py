from __future__ import annotations

from math import prod

import pytest

from pulid_sdcpp.model_files.autoencoder_shapes import (
    FLUX_LATENTS,
    SDXL_LATENTS,
    autoencoder_shapes,
    tiny_autoencoder_shapes,
)


def test_sdxls_autoencoder_is_the_published_one() -> None:
    shapes = dict(autoencoder_shapes(latents=SDXL_LATENTS))
    assert (len(shapes), sum(map(prod, shapes.values()))) == (248, 83_653_863)
    assert shapes["post_quant_conv.weight"] == (4, 4, 1, 1)
    assert shapes["encoder.conv_out.weight"] == (8, 512, 3, 3)
    assert shapes["decoder.conv_in.weight"] == (512, 4, 3, 3)


def test_fluxs_has_no_convolutions_between() -> None:
    shapes = dict(autoencoder_shapes(latents=FLUX_LATENTS))
    assert not [name for name in shapes if "quant_conv" in name]
    assert len(shapes) == 244


@pytest.mark.parametrize(("latents", "size_bytes"), [(16, 9848636), (4, 9793292)])
def test_tiny_ones_are_as_large_as_the_published(latents: int, size_bytes: int) -> None:
    numbers = sum(map(prod, dict(tiny_autoencoder_shapes(latents=latents)).values()))
    assert 0 < size_bytes - 4 * numbers < 20_000  # the header
