"""Which identities take part in a generation, and from which step true CFG does."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import IdentityFileError
from .identity import Identity
from .options import GenerationOptions, IdentityOptions

__all__ = ["IdentityLike", "IdentityUse", "as_identity", "identity_uses"]

IdentityLike = str | os.PathLike[str] | Identity | NDArray[np.float32]

REFERENCE_CFG_START_STEP = 1
"""ToTheBeginning/PuLID, app_flux.py: "timestep to start inserting true CFG" is 1 by default."""


@dataclass(frozen=True, eq=False)
class IdentityUse:
    """One identity's part in a generation.

    Attributes:
        tokens: (n, id_dim) float32.
        weight: What its contribution is multiplied by.
        start_step, end_step: First step with it, first step without it again (None: to the end).
        negative: It belongs to the negative pass of true CFG.
    """

    tokens: NDArray[np.float32]
    weight: float
    start_step: int = 0
    end_step: int | None = None
    negative: bool = False


def as_identity(given: IdentityLike) -> Identity:
    """Read an identity file, or take (tokens, width) numbers as one.

    Raises:
        IdentityFileError: It is not one.
    """
    if isinstance(given, Identity):
        return given
    if isinstance(given, str | os.PathLike):
        return Identity.load(given)
    return Identity.from_array(given)


def identity_uses(
    options: IdentityOptions, generation: GenerationOptions, has_weights: bool
) -> tuple[list[IdentityUse], int]:
    """The identities of a generation, and its first step with true CFG.

    Args:
        has_weights: Whether the engine was loaded with PuLID weights.

    Raises:
        ValueError: An identity without PuLID weights.
        IdentityFileError: It cannot be used, or has no unconditional part, which true CFG needs.
    """
    if options.embedding is None:
        return [], options.cfg_start_step or 0
    identity = as_identity(options.embedding)
    if not has_weights:
        raise ValueError(
            "an identity is given, but the engine was loaded without PuLID weights: name "
            "pulid_weights (--pulid-weights)"
        )
    if not options.has_effect(generation.steps):
        return [], options.cfg_start_step or 0
    span = (options.weight, options.start_step, options.end_step)
    uses = [IdentityUse(identity.tokens, *span)]
    if generation.cfg_scale == 1.0:
        return uses, 0
    if identity.uncond_tokens is None:
        raise IdentityFileError(
            "the identity has no unconditional part, which true CFG needs: extract it again "
            "with this program, or set cfg_scale to 1"
        )
    uses.append(IdentityUse(identity.uncond_tokens, *span, negative=True))
    start = options.cfg_start_step
    return uses, REFERENCE_CFG_START_STEP if start is None else start
