"""Which measures make a picture fit a device: the ones that cost least time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..options.generation import SIZE_MULTIPLE_PX
from ..options.size_multiple import SDXL_SIZE_MULTIPLE_PX
from .compute import DEFAULT_TILE
from .model import Measures, Phase, PictureSizes, denoise_workspace, device_peak, phases
from .parameters import ModelSizes

__all__ = [
    "CONTEXT_BYTES",
    "GIB",
    "Given",
    "choose_measures",
    "largest_size",
    "least_budget",
    "shared_peak",
]

GIB = 1 << 30
CONTEXT_BYTES = 350 << 20
"""Kept free for the driver: a CUDA context with its kernels takes 250 to 350 MB, Vulkan's
pipelines and staging buffers less. Memory that is free now says nothing of it."""
TILES = ((DEFAULT_TILE, DEFAULT_TILE), (24, 24), (16, 16))
SMALLEST_PX = 256
"""Below this, pictures show no person: a smaller one is not offered as the nearest that works."""


@dataclass(frozen=True)
class Given:
    """Measures that the caller decided already: None leaves them to the plan.

    Flash attention is always decided: it is on unless it was switched off.
    """

    flash_attention: bool = True
    tiling: bool | None = None
    tile: tuple[int, int] | None = None
    text_on_cpu: bool | None = None
    vae_on_cpu: bool | None = None
    offload: bool | None = None
    direct: bool = False


_NOTHING = Given()


def choose_measures(
    models: ModelSizes,
    picture: PictureSizes,
    budget: int,
    given: Given = _NOTHING,
    shared: int | None = None,
) -> Measures | None:
    """The measures that cost least time and make a picture fit; None: none do.

    By what they cost, least first, so that none is taken where cheaper ones are enough:

        tiles                 the decoder computes where they overlap twice
        text encoders on CPU  seconds for each new prompt (T5-XXL in Q4_0, two cores: 7)
        offload               the weights cross the bus once for each picture
        segments              the diffusion model's weights cross it at every step
        smaller tiles         more overlap, and tiles that know less of each other
        autoencoder on CPU    minutes for each 1024 x 1024 picture (256 x 256, two cores: 18 s)

    Args:
        budget: Bytes on the device.
        shared: Where the device has no memory of its own: bytes of the computer's, in which all
            must fit together. What waits in RAM is then no help; it is there twice.
    """
    for measures in _candidates(given, budget, models, picture):
        found = phases(models, picture, measures)
        fits = device_peak(found) + CONTEXT_BYTES <= budget
        if fits and (shared is None or shared_peak(found) <= shared):
            return measures
    return None


def shared_peak(found: Sequence[Phase]) -> int:
    """The most of all phases where device and computer share one memory, driver included."""
    return max(
        phase.host_bytes + phase.device_bytes + (CONTEXT_BYTES if phase.device_bytes else 0)
        for phase in found
    )


def least_budget(
    models: ModelSizes, picture: PictureSizes, given: Given = _NOTHING, *, shared: bool = False
) -> int:
    """The least that a device must offer for a picture, with whatever measures.

    Args:
        shared: The least that the computer must offer, which shares its memory with the device.
    """
    return min(
        shared_peak(found) if shared else CONTEXT_BYTES + device_peak(found)
        for found in (
            phases(models, picture, measures) for measures in _candidates(given, 0, models, picture)
        )
    )


def largest_size(
    models: ModelSizes,
    picture: PictureSizes,
    budget: int,
    given: Given = _NOTHING,
    shared: int | None = None,
) -> tuple[int, int] | None:
    """The largest picture of about the same shape that fits; None: none of a useful size."""
    step = SIZE_MULTIPLE_PX if models.unet is None else SDXL_SIZE_MULTIPLE_PX
    for width in range((picture.width - 1) // step * step, step, -step):
        height = max(round(picture.height * width / picture.width / step) * step, step)
        if min(width, height) < min(SMALLEST_PX, picture.width, picture.height):
            return None
        smaller = replace(picture, width=width, height=height)
        if shared is not None:
            fits = choose_measures(models, smaller, budget, given, shared) is not None
        else:
            fits = least_budget(models, smaller, given) <= budget
        if fits:
            return width, height
    return None


def _candidates(
    given: Given, budget: int, models: ModelSizes, picture: PictureSizes
) -> Iterator[Measures]:
    """Every combination, in the order of the dearest measure in it, then the next dearest."""
    tiles: list[tuple[int, int] | None]
    if given.tile is not None:
        tiles = [given.tile]
    elif given.tiling:
        tiles = list(TILES)
    else:
        tiles = [None, *TILES]
    both = [False, True]
    free = itertools.product(
        both if given.vae_on_cpu is None else [given.vae_on_cpu],
        tiles[::-1],
        ["no", "yes", "segments"] if given.offload is None else ["yes", "segments"],
        both if given.text_on_cpu is None else [given.text_on_cpu],
    )
    weighed = []
    for vae_on_cpu, tile, offload, text_on_cpu in free:
        cost = (
            vae_on_cpu,
            0 if tile in (None, TILES[0], given.tile) else TILES.index(tile),
            ("no", "yes", "segments").index(offload),
            text_on_cpu,
            tile is not None,
        )
        weighed.append((cost, tile, offload, text_on_cpu, vae_on_cpu))
    for _, tile, offload, text_on_cpu, vae_on_cpu in sorted(weighed, key=lambda w: w[0]):
        measures = Measures(
            flash_attention=given.flash_attention,
            tile=tile,
            text_on_cpu=text_on_cpu,
            vae_on_cpu=vae_on_cpu,
            offload=offload != "no",
            direct=given.direct,
        )
        if offload == "segments":
            measures = replace(measures, segment_bytes=_segment_bytes(budget, models, picture))
        yield measures


def _segment_bytes(budget: int, models: ModelSizes, picture: PictureSizes) -> int:
    """What a segment may take, in hundredths of a GiB: the option is shown with two digits."""
    free = budget - CONTEXT_BYTES - denoise_workspace(models, picture)
    return max(math.floor(free / GIB * 100), 1) * GIB // 100
