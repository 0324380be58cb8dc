"""Options for the identities in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ..options.checks import FilePath
from ..options.facts import check, described, of, option, same_as
from ..options.step_point import StepPoint, step_at
from .person import Person

if TYPE_CHECKING:
    import numpy as np

    from ..identity.identity_file import Identity

__all__ = ["MAX_PEOPLE", "IdentityOptions", "check_people", "takes_part"]

MAX_PEOPLE = 100
"""The engine has places for 32,768 tensors, of which the model takes some 1,500 and a LoRA as many;
a person takes 60 (of Flux's 20 layers), with true CFG 120."""


@dataclass(frozen=True, eq=False, repr=False)
class IdentityOptions:
    """Options for the identity: whose face, how strongly, and in which steps.

    Args:
        embedding: An identity file, what is in it (bytes), an open file, an `Identity`, or an array
            (tokens, width); None: no person.
        weight: 0 to 5; 0 is off, 0.7 to 1.2 is usual; None: the model's own, as that of `Person`.
        start_step: First step with the identity; 0 or 1 is stylised, 4 of 20 photographic. A
            whole number counts steps from 0, a float from 0 to 1 is a share of the steps.
        end_step: Step before which the identity ends, likewise; None: to the last step.
        cfg_start_step: First step with true CFG, if cfg_scale is not 1; None: the engine's
            default.
        people: Several people, each with a weight, steps and a region, instead of `embedding`;
            100 at most.

    Raises:
        ValueError: A value out of range; names the value and the range.
    """

    embedding: FilePath | bytes | BinaryIO | Identity | np.ndarray | None = option(
        None,
        "Identity file of the person, as in sd-cli.",
        flags="--pulid-id-embedding",
        group="Identity",
        evaluate=False,
        batch=False,
        binding="pulid_id_embedding",
    )
    weight: float | None = same_as(Person, "weight")
    start_step: StepPoint = same_as(Person, "start_step")
    end_step: StepPoint | None = same_as(Person, "end_step")
    cfg_start_step: int | None = option(
        None,
        "First step with true CFG, if --cfg-scale is not 1.",
        flags="--cfg-start-step",
        group="Identity",
        low=0,
        text="CFG start step",
    )
    people: tuple[Person, ...] = ()

    def __post_init__(self) -> None:
        check(self)
        check_people(len(self.people))
        if self.people and self.embedding is not None:
            raise ValueError("give either an embedding or people, not both")

    def __repr__(self) -> str:
        return described(self)

    @property
    def everybody(self) -> tuple[Person, ...]:
        """All people: `people`, or the one of `embedding`, or none."""
        if self.embedding is None:
            return self.people
        return (Person(self.embedding, self.weight, self.start_step, self.end_step),)

    def has_effect(self, steps: int) -> bool:
        """Whether a picture of `steps` steps differs from one without identity."""
        return any(takes_part(person, steps) for person in self.everybody)

    def to_engine_kwargs(self) -> dict[str, Any]:
        """The keyword arguments of `generate_image` in addition to the binding's own."""
        facts = of(IdentityOptions).items()
        kwargs = {fact.binding or name: getattr(self, name) for name, fact in facts}
        return {**kwargs, "pulid_people": self.people}


def check_people(count: int) -> None:
    """Refuse more people than a picture may have.

    Raises:
        ValueError: Names both numbers.
    """
    if count > MAX_PEOPLE:
        raise ValueError(f"{count} people are named, but a picture may have {MAX_PEOPLE}")


def takes_part(person: Person, steps: int) -> bool:
    """Whether there is a step, of `steps`, with this person."""
    end = steps if person.end_step is None else min(step_at(person.end_step, steps), steps)
    return person.weight != 0 and step_at(person.start_step, steps) < end
