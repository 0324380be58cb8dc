"""What of a request does not go together, and what is more than one request may ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ...errors import named, option_error
from ...options.facts import of
from ...options.generation import SIZE_MULTIPLE_PX, GenerationOptions
from ...options.identity_mode import identity_mode
from ...options.size_multiple import SDXL_SIZE_MULTIPLE_PX, check_size_multiple
from ..bodies.typed_values import refused
from .aliases import PLACES

__all__ = ["RequestLimits", "check_picture"]


class RequestLimits(Protocol):
    """What one request may ask for."""

    @property
    def max_batch(self) -> int: ...

    @property
    def max_steps(self) -> int: ...

    @property
    def max_pixels(self) -> int: ...

    @property
    def max_side(self) -> int: ...

    @property
    def max_people(self) -> int: ...

    @property
    def max_photos(self) -> int: ...


def check_picture(
    options: Mapping[str, Any],
    pictures: Mapping[str, tuple[Any, ...]],
    settings: Mapping[str, Any],
    params: Mapping[str, str],
    limits: RequestLimits | None,
    encoders: Sequence[str] = (),
    size_multiple: int = SIZE_MULTIPLE_PX,
) -> None:
    """Refuse a picture that cannot be made, or is too large for this server.

    `settle` decides the same way when the picture is made; here nothing is read.

    Args:
        options: As those of `NormalRequest`.
        pictures: Likewise; those to start from have a `width` and a `height`.
        settings: Of the model.
        params: What the client calls the options.
        limits: None: there are none.
        encoders: Whose identities the model takes.
        size_multiple: What its sizes are multiples of, in pixels.

    Raises:
        ApiError: "invalid_value", with the client's name of the option.
    """
    facts = of(GenerationOptions)
    values = {name: value for name, value in settings.items() if name in facts}
    values |= {name: value for name, value in options.items() if name in facts}
    values |= {
        name: several if name == "ref_images" else several[0] for name, several in pictures.items()
    }
    if start := values.get("init_image"):
        step = size_multiple
        for name, side in (("width", start.width), ("height", start.height)):
            if name not in options:
                values[name] = max(round(side / step), 1) * step
    values.pop("loras", None)
    names = {**PLACES, **params}
    try:
        generation = GenerationOptions(**values)
        is_sdxl = size_multiple == SDXL_SIZE_MULTIPLE_PX
        check_size_multiple(generation, encoders, is_sdxl=is_sdxl)
        if encoders:  # refuses for Flux what only SDXL has
            modes = (generation.id_mode, generation.id_projection, generation.id_zeros)
            identity_mode(encoders[0], *modes)
        if limits is not None:
            _check_limits(generation, limits)
    except ValueError as error:
        raise refused(error, None, names) from None


def _check_limits(generation: GenerationOptions, limits: RequestLimits) -> None:
    most = {
        "batch_count": limits.max_batch,
        "steps": limits.max_steps,
        "hires_steps": limits.max_steps,
    }
    for name, high in most.items():
        if (value := getattr(generation, name)) > high:
            raise option_error(f"{named(name)} is {value}, but this server makes {high} at most")
    if len(generation.sigmas) - 1 > limits.max_steps:
        raise option_error(
            f"{named('sigmas')} has {len(generation.sigmas) - 1} steps, but this server makes "
            f"{limits.max_steps} at most"
        )
    width, height = generation.made_size
    which = "hires_scale" if generation.hires else "width" if width >= height else "height"
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise option_error(
            f"{named(which)}: a picture of {width}x{height} is too large for this server, which "
            f"makes {limits.max_pixels} pixels and sides of {limits.max_side} at most"
        )
