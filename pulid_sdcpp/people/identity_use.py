"""Which identities take part in a generation, and from which step true CFG does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import IdentityFileError, Message, named, option_error
from ..identity.encoder import FLUX, check_encoder_fits
from ..identity.further_identities import identity_for
from ..identity.identity_file import Identity
from ..identity.named_person import named_identity
from ..options.generation import GenerationOptions
from ..options.identity_mode import (
    PLAIN_ID,
    IdentityMode,
    has_identity_modes,
    identity_mode,
    identity_weight,
)
from ..options.step_point import step_at
from ..system.given_content import FileContent, is_content
from .identity_effect import check_region, check_span, first_cfg_step
from .identity_options import takes_part
from .person import Person
from .region_weights import COARSE_TOKEN_PX, token_weights
from .second_pass_step import step_of_second_pass

__all__ = ["IdentityLike", "IdentityUse", "as_identity", "identity_uses"]

IdentityLike = str | os.PathLike[str] | FileContent | Identity | NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class IdentityUse:
    """One identity's part in a generation.

    Attributes:
        tokens: (n, id_dim) float32.
        weight: What its contribution is multiplied by.
        start_step, end_step: First step with it, first step without it again (None: to the end).
        negative: It belongs to the negative pass of true CFG.
        second_pass: It belongs to the second pass (hires), not to the first.
        region: (rows, columns) float32, 0 to 1 for each image token: what its contribution is
            multiplied by there; None: the whole picture.
        region_coarse: The same for the deeper layers of SDXL's UNet, whose tokens are twice as wide
            and high; None for Flux, too.
        projection, zeros: As those of `IdentityMode`; "none" and 0 for Flux.
    """

    tokens: NDArray[np.float32] = field(repr=False)  # a face
    weight: float
    start_step: int = 0
    end_step: int | None = None
    negative: bool = False
    second_pass: bool = False
    region: NDArray[np.float32] | None = None
    region_coarse: NDArray[np.float32] | None = None
    projection: str = PLAIN_ID.projection
    zeros: int = PLAIN_ID.zeros


def as_identity(given: IdentityLike, encoders: Sequence[str] = ()) -> Identity:
    """Read an identity: a file, what is in one, or a kept name; (tokens, width) numbers are one.

    Args:
        encoders: As those of `identity_uses`: of a kept person, the identity that fits is taken;
            plain numbers are taken for one of the first.

    Raises:
        IdentityFileError: It is not one.
    """
    if isinstance(given, Identity):
        return given
    if isinstance(given, str | os.PathLike):
        path = named_identity(given) if isinstance(given, str) else given
        return identity_for(path, encoders or (FLUX,))
    if is_content(given):
        return Identity.from_bytes(given)
    if encoders and encoders[0] != FLUX:  # which needs no word
        return Identity.from_array(given, encoder=encoders[0])
    return Identity.from_array(given)


def identity_uses(
    people: Sequence[Person],
    cfg_start_step: int | None,
    generation: GenerationOptions,
    encoders: Sequence[str],
    *,
    weights: str | os.PathLike[str] = "the PuLID weights",
    one_step: bool = False,
) -> tuple[list[IdentityUse], int]:
    """The identities of a generation, in each of its passes, and its first step with true CFG.

    Args:
        people: Who is asked for.
        cfg_start_step: First step with true CFG; None: the engine's own.
        encoders: Names of the encoders whose identities the engine's PuLID weights take: "flux",
            "sdxl-v1", "sdxl-v1.1"; none: it was loaded without PuLID weights.
        weights: Their file, for messages.
        one_step: Only the last step of `generation` is made, which may be one without a person.

    Raises:
        ValueError: An identity without PuLID weights; one that would be in no step, or in no part
            of the picture; or a mode of SDXL's identities for a Flux model.
        ModelMismatchError: An identity of another encoder.
        IdentityFileError: It cannot be used, or has no unconditional part, which true CFG needs.
        ImageFileError: The mask of a region cannot be read.
    """
    if encoders and not any(map(has_identity_modes, encoders)):
        _mode_of(encoders[0], generation)  # refuses what only SDXL has, also without people
    everybody = [(person, as_identity(person.identity, encoders)) for person in people]
    if not everybody:
        return [], cfg_start_step or 0
    if not encoders:
        raise option_error(
            "an identity is given, but the engine was loaded without PuLID weights: name "
            f"{named('pulid_weights')}"
        )
    first_cfg = first_cfg_step(cfg_start_step, generation, encoders)
    steps = generation.evaluated_steps
    uses: list[IdentityUse] = []
    for person, identity in everybody:
        check_encoder_fits(identity.encoder, encoders, weights)
        if not one_step:
            check_span(person, generation, first_cfg, encoders)
        if takes_part(person, steps):
            uses += _uses_of(person, identity, generation)
    return (uses, first_cfg) if uses else ([], cfg_start_step or 0)


def _uses_of(
    person: Person, identity: Identity, generation: GenerationOptions
) -> Iterator[IdentityUse]:
    steps = generation.evaluated_steps
    encoder = identity.encoder
    mode = _mode_of(encoder, generation)
    region = region_coarse = None
    if person.region is not None:
        size = (generation.width, generation.height)
        region = token_weights(person.region, *size)
        if has_identity_modes(encoder):
            region_coarse = token_weights(person.region, *size, cell_px=COARSE_TOKEN_PX)
            check_region(person.region, region_coarse, generation, COARSE_TOKEN_PX)
        else:
            check_region(person.region, region, generation)
    positive = IdentityUse(
        identity.tokens,
        identity_weight([encoder], person.weight),
        step_at(person.start_step, steps),
        None if person.end_step is None else step_at(person.end_step, steps),
        region=region,
        region_coarse=region_coarse,
        projection=mode.projection,
        zeros=mode.zeros,
    )
    uses = [positive]
    if (second := _in_second_pass(positive, person, generation)) is not None:
        uses.append(second)
    yield from uses
    if generation.cfg_scale == 1.0:
        return
    if identity.uncond_tokens is None:
        raise IdentityFileError(
            Message(
                "the identity has no unconditional part, which true CFG needs: extract it again "
                f"with this program, or set {named('cfg_scale')} to 1"
            )
        )
    for use in uses:
        yield replace(use, tokens=identity.uncond_tokens, negative=True)


def _mode_of(encoder: str, generation: GenerationOptions) -> IdentityMode:
    return identity_mode(encoder, generation.id_mode, generation.id_projection, generation.id_zeros)


def _in_second_pass(
    first: IdentityUse, person: Person, generation: GenerationOptions
) -> IdentityUse | None:
    """The same person in the second pass; None: there is none, or the person ended before it."""
    if generation.second_size is None:
        return None
    start = step_of_second_pass(first.start_step, generation)
    end = None
    if first.end_step is not None and first.end_step < generation.evaluated_steps:
        end = step_of_second_pass(first.end_step, generation, is_end=True)
        if end <= start:
            return None
    fine, coarse = first.region, first.region_coarse
    if person.region is not None:
        first_size = (generation.width, generation.height)
        sizes = (*generation.second_size, first_size)
        fine = token_weights(person.region, *sizes)
        if coarse is not None:
            coarse = token_weights(person.region, *sizes, cell_px=COARSE_TOKEN_PX)
    return replace(
        first,
        start_step=start,
        end_step=end,
        second_pass=True,
        region=fine,
        region_coarse=coarse,
    )
