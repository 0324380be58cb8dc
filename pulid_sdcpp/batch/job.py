"""What a batch is made of: who, what, with which numbers, and into which file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..options.generation import GenerationOptions
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

    def generation(self, preset_settings: Mapping[str, Any]) -> GenerationOptions:
        """The whole options, where `preset_settings` stand behind the job's own.

        Raises:
            ValueError: They do not go together.
        """
        return generation_as_said(self.given, preset_settings)

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
        """Everybody's weights: "1", "0.9 + 1"; "" of nobody."""
        weights = [format(person.weight, ".10g") for person in self.people]
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

    @property
    def read_pictures(self) -> bool:
        """Whether a job starts from a picture, has references, or enlarges pixels."""
        return any(reads_pictures(job.settings) for job in self.jobs)
