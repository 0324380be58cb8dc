"""How PuLID for SDXL adds an identity: its projection, its zero tokens, and modes that name both.

Source: ToTheBeginning/PuLID, app.py and app_v1_1.py (the settings of each mode),
pulid/attention_processor.py (NUM_ZERO, ORTHO, ORTHO_v2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import named, option_error
from .facts import check, of, option

__all__ = [
    "ID_MODES",
    "MAX_ID_ZEROS",
    "PLAIN_ID",
    "PROJECTIONS",
    "IdentityMode",
    "IdentityModeOptions",
    "has_identity_modes",
    "identity_mode",
    "identity_weight",
]

ID_MODES = ("fidelity", "style", "plain")
PROJECTIONS = ("none", "ortho", "ortho_v2")
"""Each at its number in the engine."""
MAX_ID_ZEROS = 80
"""Of the slider in app_v1_1.py."""


@dataclass(frozen=True)
class IdentityMode:
    """What is done in each layer with what attention to an identity finds.

    With h what attention to the text finds there, and z that to the identity, both (tokens, width):

    - "none": z is added;
    - "ortho": z is added without its share along h, one factor for each channel of the picture;
    - "ortho_v2": likewise, but less so at places that look at the first five identity tokens.

    Attributes:
        projection: One of PROJECTIONS.
        zeros: Zero tokens beside those of the identity, 0 to MAX_ID_ZEROS: more of them make the
            identity weaker where a place has little to do with it.
    """

    projection: str
    zeros: int


_WEIGHT_FLUX = 1.0
_WEIGHT_SDXL = 0.8
"""ToTheBeginning/PuLID: id_weight of app_flux.py; id_scale of app.py and app_v1_1.py."""

PLAIN_ID = IdentityMode("none", 0)
"""What is found is added as it is: all that there is for Flux."""

_MODES: Mapping[str, Mapping[str, IdentityMode]] = {
    "sdxl-v1": {
        "fidelity": IdentityMode("ortho_v2", 8),
        "style": IdentityMode("ortho", 16),
        "plain": PLAIN_ID,
    },
    # Its app has no modes, but these projections and 20 zeros.
    "sdxl-v1.1": {
        "fidelity": IdentityMode("ortho_v2", 20),
        "style": IdentityMode("ortho", 20),
        "plain": PLAIN_ID,
    },
}
"""By the encoder that made the identity."""


@dataclass(frozen=True)
class IdentityModeOptions:
    """The facts of the options of `GenerationOptions` that are about how an identity is added.

    Args:
        id_mode: One of ID_MODES: a name for a projection and a number of zeros. None: "fidelity".
        id_projection: One of PROJECTIONS; None: the mode's.
        id_zeros: 0 to MAX_ID_ZEROS; None: the mode's.

    Raises:
        ValueError: A value that cannot be; names it.
    """

    id_mode: str | None = option(
        None,
        "How an SDXL model adds the identity: fidelity (the default) for likeness, style for "
        "prompts of a style, plain as it is. A name for the next two.",
        flags="--id-mode",
        group="Identity",
        choices=ID_MODES,
        text="PuLID mode",
        preset=True,
    )
    id_projection: str | None = option(
        None,
        "What an SDXL model takes from the identity's part so that the prompt stays; default: the "
        "mode's.",
        flags="--id-projection",
        group="Identity",
        choices=PROJECTIONS,
        text="PuLID projection",
        preset=True,
    )
    id_zeros: int | None = option(
        None,
        "Zero tokens beside the identity's, 0 to 80, for an SDXL model: more make it weaker; "
        "default: the mode's.",
        flags="--id-zeros",
        group="Identity",
        low=0,
        high=MAX_ID_ZEROS,
        text="PuLID zeros",
        preset=True,
    )

    def __post_init__(self) -> None:
        check(self)


def has_identity_modes(encoder: str) -> bool:
    """Whether identities of this encoder can be added in several ways: those for SDXL."""
    return encoder in _MODES


def identity_weight(encoders: Sequence[str], weight: float | None = None) -> float:
    """How strong an identity is, for whom nothing is said as in PuLID's own apps.

    Args:
        encoders: Of the PuLID weights, as for `identity_uses`.
        weight: What is said; None: nothing.
    """
    if weight is not None:
        return weight
    return _WEIGHT_SDXL if any(map(has_identity_modes, encoders)) else _WEIGHT_FLUX


def identity_mode(
    encoder: str,
    id_mode: str | None = None,
    id_projection: str | None = None,
    id_zeros: int | None = None,
) -> IdentityMode:
    """How an identity is added, with what is not given as the mode has it.

    Args:
        encoder: What made the identity: "flux", "sdxl-v1" or "sdxl-v1.1".
        id_mode, id_projection, id_zeros: As those of `IdentityModeOptions`.

    Raises:
        ValueError: One is given for an identity that has no such choice; names it.
    """
    if encoder not in _MODES:
        given = {"id_mode": id_mode, "id_projection": id_projection, "id_zeros": id_zeros}
        for name in of(IdentityModeOptions):
            if given[name] is not None:
                raise option_error(
                    f"{named(name)} is {given[name]!r}, but only PuLID for SDXL has it; leave it "
                    "out for a Flux model"
                )
        return PLAIN_ID
    mode = _MODES[encoder][id_mode or "fidelity"]
    return IdentityMode(
        mode.projection if id_projection is None else id_projection,
        mode.zeros if id_zeros is None else id_zeros,
    )
