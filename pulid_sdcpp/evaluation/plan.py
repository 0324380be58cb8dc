"""Which pictures an evaluation makes, in which order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from ..options.identity_mode import identity_weight
from ..options.step_point import StepPoint
from ..people.identity_options import IdentityOptions
from .options import EvaluationOptions

__all__ = ["EvaluationPicture", "Setting", "plan_pictures", "plan_settings"]


@dataclass(frozen=True)
class Setting:
    """How an identity is applied.

    Attributes:
        id_weight: 0 to 5.
        start_step: First step with the identity.
    """

    id_weight: float
    start_step: StepPoint


@dataclass(frozen=True)
class EvaluationPicture:
    """One picture of an evaluation.

    Attributes:
        reference: Index of the person; None: nobody, which others are compared with.
        setting: How the identity is applied; None with nobody.
        prompt: Index of the prompt.
        seed: Of the noise.
    """

    reference: int | None
    setting: Setting | None
    prompt: int
    seed: int


def plan_settings(options: EvaluationOptions, identity: IdentityOptions) -> tuple[Setting, ...]:
    """The evaluation's own setting, then those of the sweeps, each once."""
    own = Setting(float(identity_weight((), identity.weight)), identity.start_step)
    swept = [
        *(Setting(float(weight), own.start_step) for weight in options.id_weights),
        *(Setting(own.id_weight, step) for step in options.start_steps),
    ]
    return _once([own, *swept])


def plan_pictures(
    options: EvaluationOptions, settings: Iterable[Setting]
) -> tuple[EvaluationPicture, ...]:
    """Nobody's pictures first; then person by person, so that an identity is folded once."""
    scenes = list(product(range(len(options.prompts)), options.seeds))
    nobody = [EvaluationPicture(None, None, prompt, seed) for prompt, seed in scenes]
    people = product(range(len(options.references)), list(settings), scenes)
    return (
        *nobody,
        *(EvaluationPicture(index, setting, *scene) for index, setting, scene in people),
    )


def _once(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    return tuple(dict.fromkeys(settings))
