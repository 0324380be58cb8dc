"""What a batch is made of: who, what, with which numbers, and into which file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..options.generation import GenerationOptions
from ..options.identity_mode import identity_weight
from ..options.second_pass import reads_pictures
from ..people.person_spec import PersonSpec
from ..pictures.formats import QUALITY, Quality
from ..request.generate_request import generation_as_said

__all__ = ["Batch", "BatchJob"]


@dataclass(frozen=True)
class BatchJob:
    """One picture.

    Attributes:
        where: The place in the file, for messages: "jobs.csv, line 3".
        file_name: Of the picture, in the output folder; "/" between folders.
        prompt, prompt_name: What to show, and what stands above it on the contact sheet.
        templates: What the prompts were before their choices were made, as of `WrittenPrompts`.
        seed: 0 or more.
        people: Who is in it; nobody is possible.
        settings: Fields of GenerationOptions that were given, but for prompt and seed.
        cfg_start_step: As that of IdentityOptions.
        name_with: The file name with other weights than those in it, as `weight_name` has them.
    """

    where: str
    file_name: str
    prompt: str
    prompt_name: str
    seed: int
    people: tuple[PersonSpec, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    cfg_start_step: int | None = None
    templates: Mapping[str, str] = field(default_factory=dict)
    name_with: Callable[[str], str] | None = field(default=None, compare=False, repr=False)

    def generation(self, preset_settings: Mapping[str, Any]) -> GenerationOptions:
        """The whole options, where `preset_settings` stand behind the job's own.

        Raises:
            ValueError: They do not go together.
        """
        return generation_as_said(self.given, preset_settings)

    def with_own_weights(self, encoders: Sequence[str]) -> BatchJob:
        """The job with a weight of everybody for whom none is said: that of the PuLID weights."""
        if all(person.weight is not None for person in self.people):
            return self
        people = (
            replace(person, weight=identity_weight(encoders, person.weight))
            for person in self.people
        )
        job = replace(self, people=tuple(people))
        if self.name_with is None or job.weight_name == self.weight_name:
            return job
        return replace(job, file_name=self.name_with(job.weight_name))

    @property
    def given(self) -> dict[str, Any]:
        """What the job says, for `settle`."""
        given = {**self.settings, "prompt": self.prompt, "seed": self.seed}
        if self.templates:
            given["templates"] = self.templates
        if self.cfg_start_step is not None:
            given["cfg_start_step"] = self.cfg_start_step
        return given

    @property
    def person_name(self) -> str:
        """Everybody's names: "alice + bob"."""
        return " + ".join(person.name for person in self.people) or "nobody"

    @property
    def weight_name(self) -> str:
        """Everybody's weights: "1", "0.9 + 1"; "" of nobody. Those of Flux where none is said."""
        weights = [format(identity_weight((), person.weight), ".10g") for person in self.people]
        return " + ".join(weights[:1] if len(set(weights)) == 1 else weights)


@dataclass(frozen=True)
class Batch:
    """A list of jobs as its file says.

    Attributes:
        path: The file.
        jobs: In the order of the file; one at least, all with different file names.
        preset: "" where neither the file nor the caller names one.
        output_dir: Where the pictures go.
        quality: Of those that are JPEG or WebP.
    """

    path: Path
    jobs: tuple[BatchJob, ...]
    preset: str
    output_dir: Path
    quality: Quality = QUALITY

    def with_own_weights(self, encoders: Sequence[str]) -> Batch:
        """The batch as `BatchJob.with_own_weights` has its jobs.

        Args:
            encoders: Of the PuLID weights, as for `identity_uses`.
        """
        return replace(self, jobs=tuple(job.with_own_weights(encoders) for job in self.jobs))

    @property
    def read_pictures(self) -> bool:
        """Whether a job starts from a picture, has references, or enlarges pixels."""
        return any(reads_pictures(job.settings) for job in self.jobs)
