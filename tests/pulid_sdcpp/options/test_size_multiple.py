"""What the sides of a picture are multiples of."""

from __future__ import annotations

from typing import Any

import pytest

from pulid_sdcpp import GenerationOptions
from pulid_sdcpp.options.size_multiple import check_size_multiple, size_multiple_px


@pytest.mark.parametrize(
    ("encoders", "multiple"), [((), 16), (("flux",), 16), (("sdxl-v1",), 64), (("sdxl-v1.1",), 64)]
)
def test_it_depends_on_the_model(encoders: tuple[str, ...], multiple: int) -> None:
    assert size_multiple_px(encoders) == multiple
    check_size_multiple(GenerationOptions("p", width=multiple, height=192), encoders)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 80}, "width is 80, but must be a multiple of 64 with an SDXL model; use 64 or"),
        ({"height": 48}, "height is 48, .*; use 64$"),
        ({"width": 64, "height": 64, "hires": True, "hires_scale": 1.5}, "hires_width is 96, but"),
    ],
)
def test_the_nearest_sizes_are_named(sizes: dict[str, Any], message: str) -> None:
    picture = GenerationOptions("p", **sizes)
    check_size_multiple(picture, ("flux",))
    with pytest.raises(ValueError, match=message):
        check_size_multiple(picture, ("sdxl-v1",))
    with pytest.raises(ValueError, match=message):  # without PuLID weights
        check_size_multiple(picture, is_sdxl=True)
