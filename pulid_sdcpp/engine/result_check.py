"""Results that are no pictures: NaN and infinity, which the engine refuses, and one colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import GenerationError
from ..native.calls import plain_values

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_not_flat", "checked_pictures", "is_refused_result", "refused_result"]

_REFUSED = "the picture came out as NaN or infinity"
"""The first words of the engine's own check (native/src/pulid_result.hpp)."""

_ADVICE = {
    "in the text encoders": "get the text encoder's file again, or another type of it",
    "in the autoencoder": (
        "get the autoencoder's file again, or one in F32 or BF16; for SDXL, one mended for F16 "
        "(sdxl-vae-fp16-fix), or none beside a checkpoint that has its own"
    ),
    "in the picture to start from": "get the autoencoder's file again, or one in F32 or BF16",
    "in the upscaling model": "get the upscaling model again, or another",
    "in a reference picture": "get the autoencoder's file again, or one in F32 or BF16",
}
_OF_STEPS = (
    "a LoRA with too large a weight does that, and so does a damaged model file or LoRA: give a "
    "smaller weight, or get the file again"
)


def is_refused_result(reason: str) -> bool:
    """Whether a native failure is of the numbers that came out, and the engine goes on."""
    return reason.startswith(_REFUSED)


def refused_result(reason: str, log_lines: Sequence[str]) -> GenerationError:
    """The error for a refused result, with what helps against it."""
    where = reason.removeprefix(_REFUSED).strip()
    message = f"{reason}; {_ADVICE.get(where, _OF_STEPS)}"
    return GenerationError(message, log_lines, engine_is_good=True)


def checked_pictures(pictures: list[Image], may_be_flat: bool) -> list[Image]:
    """What the binding made, with plain values for its ctypes arrays in `info`.

    Args:
        may_be_flat: Whether a picture of one colour is what was asked for, as when one is
            started from.

    Raises:
        GenerationError: As `check_not_flat`.
    """
    if not may_be_flat:
        check_not_flat(pictures)
    for picture in pictures:
        picture.info = plain_values(picture.info)
    return pictures


def check_not_flat(pictures: Iterable[Image]) -> None:
    """Refuse pictures that are of one colour everywhere, which no noise becomes by itself.

    Raises:
        GenerationError: One is; names the colour.
    """
    for picture in pictures:
        ranges = picture.convert("RGB").getextrema()
        if all(low == high for low, high in ranges):  # type: ignore[misc]
            colour = ", ".join(str(low) for low, _ in ranges)  # type: ignore[misc]
            raise GenerationError(
                f"the picture is of one colour everywhere ({colour} of 255): {_OF_STEPS}; or try "
                "another seed",
                engine_is_good=True,
            )
