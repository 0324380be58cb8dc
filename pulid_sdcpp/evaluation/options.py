"""What an evaluation is made of: people, prompts, seeds, and what is varied."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import named, option_error
from ..options.checks import check_number, check_path, check_text, check_whole
from ..options.generation import MAX_SEED
from ..options.prompt_weights import check_prompt
from ..people.person import MAX_IDENTITY_WEIGHT
from ..terminal_text import shown

__all__ = ["EvaluationOptions", "EvaluationPrompt", "Reference"]

FilePath = str | os.PathLike[str]


@dataclass(frozen=True)
class Reference:
    """A person, with a picture to compare results with.

    Args:
        portrait: A picture of the person; its largest face is used.
        identity: The person's identity file; None: extracted from the portrait.
    """

    portrait: FilePath
    identity: FilePath | None = None

    def __post_init__(self) -> None:
        if self.portrait is None:
            raise ValueError("portrait is None, but must be a path")
        check_path("portrait", self.portrait)
        check_path("identity", self.identity)

    @property
    def name(self) -> str:
        """The portrait's file name without suffix."""
        return Path(self.portrait).stem


@dataclass(frozen=True)
class EvaluationPrompt:
    """A prompt, and the attributes to read from its pictures.

    Args:
        text: As for `GenerationOptions`.
        attributes: Attributes that the prompt asks for, such as {"background": "red"}, in the
            attribute reader's words; only these count.
    """

    text: str
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_prompt("prompt", self.text)
        if not isinstance(self.attributes, Mapping):
            raise ValueError(
                f"attributes is {shown(self.attributes)}, but must be names and values of text"
            )
        for name, value in self.attributes.items():
            check_text("an attribute's name", name, 100)
            check_text(f"attribute {name}", value, 100)


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate, and with which judges.

    Every person is generated with every prompt and seed, at the weight and start step of the
    evaluation's `IdentityOptions` and at each value of the sweeps, which vary one of the two.

    Args:
        references: At least one, with different names.
        prompts: At least one.
        output: Folder of the results; created if its parent exists.
        seeds: Different seeds, the same for all people.
        id_weights: Weights to try in addition to the evaluation's own.
        start_steps: Start steps, likewise.
        models_dir: Folder of the extractor's files, see `pulid_extractor.models_folder`. Files that
            only extraction needs may be missing if every reference has an identity file.
        judges: Further recognisers with ArcFace's signature.
        attributes: An attribute reader; None: prompt adherence is not measured.
        device: Device of the extractor's networks, such as "auto" or "cpu".
        keep_pictures: Whether to write the pictures, too.
        overwrite: Whether the results of an earlier evaluation may be replaced. A file that is read
            is never replaced.

    Raises:
        ValueError: A value cannot be used.
    """

    references: Sequence[Reference]
    prompts: Sequence[EvaluationPrompt]
    output: FilePath = Path("evaluation")
    seeds: Sequence[int] = (42,)
    id_weights: Sequence[float] = ()
    start_steps: Sequence[int] = ()
    models_dir: FilePath = Path("models")
    judges: Sequence[FilePath] = ()
    attributes: FilePath | None = None
    device: str = "auto"
    keep_pictures: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.references:
            raise option_error("no person is given; name at least one portrait")
        if not self.prompts:
            raise option_error(f"no prompt is given; name at least one ({named('prompts')})")
        if not self.seeds:
            raise ValueError("no seed is given; name at least one")
        for seed in self.seeds:
            check_whole("seed", seed, 0, MAX_SEED)
        for weight in self.id_weights:
            check_number("id_weights", weight, 0.0, MAX_IDENTITY_WEIGHT)
        for step in self.start_steps:
            check_whole("start_steps", step, 0, 2**31 - 1)
        for name in ("output", "models_dir", "attributes"):
            check_path(name, getattr(self, name))
        for judge in self.judges:
            check_path("judges", judge)
        _check_different("seed", self.seeds, "leave it out")
        _check_different(
            "reference",
            [reference.name for reference in self.references],
            "rename one of the pictures",
        )


def _check_different(what: str, values: Iterable[object], remedy: str) -> None:
    value, count = Counter(values).most_common(1)[0]
    if count > 1:
        raise ValueError(f"the {what} {value} is given {count} times; {remedy}")
