"""What a batch is doing, and what came of it: on the terminal, or as objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ...errors import GenerationCancelled
from ...terminal_text import counted, escaped_line
from .interrupt import Interrupted
from .json_progress import json_line
from .progress import Progress, described_time

if TYPE_CHECKING:
    from ...batch.job import Batch
    from ...batch.plan import PlannedPicture
    from ...batch.run import BatchResult, Outcome
    from ...pictures.result import Result
    from ...pipeline.pulid_pipeline import PulidPipeline

__all__ = ["BatchReport"]


class BatchReport:
    """Says on the terminal, or as objects, how a batch gets on."""

    def __init__(self, progress: Progress, *, as_json: bool, quiet: bool) -> None:
        self.progress = progress
        self._as_json = as_json
        self._quiet = quiet
        self._has_failed = False

    def planned(self, jobs: Batch, pictures: Sequence[PlannedPicture], dry_run: bool) -> None:
        for picture in pictures if dry_run else ():
            what = {"new": "to make", "there": "is there", "taken": "name taken"}[picture.state]
            job = picture.job
            self._say(f"{what:<10}  {escaped_line(picture.path)}")
            self._put(
                "planned",
                path=str(picture.path),
                state=picture.state,
                job=job.where,
                people=[person.name for person in job.people],
                prompt=job.prompt,
                seed=job.seed,
                problem=picture.problem,
            )
            if picture.problem:
                self._problem(picture, picture.problem)
        states = [picture.state for picture in pictures]
        self.progress.stage(
            f"{counted(len(pictures), 'picture')} for the folder {jobs.output_dir}: "
            f"{states.count('new')} to make, {states.count('there')} already there"
        )

    def made(
        self,
        batch: Batch,
        pictures: Sequence[PlannedPicture],
        pipeline: PulidPipeline,
        settings: Mapping[str, Any],
        **options: Any,
    ) -> BatchResult:
        """Make the pictures, and say how it gets on.

        Args:
            batch, pictures, pipeline, settings: As `run_batch` takes them.
            **options: Others of its keywords.

        Raises:
            Interrupted: By Ctrl-C; what is finished is kept.
            PulidError: As `run_batch`.
        """
        from ...batch.run import run_batch

        says: dict[str, Any] = {"on_begin": self._begin, "on_end": self._end, "on_stop": self._sum}
        try:
            return run_batch(batch, pictures, pipeline, settings, **says, **options)
        except (KeyboardInterrupt, GenerationCancelled):
            raise Interrupted(
                "interrupted; finished pictures are kept; run the same command again to continue"
            ) from None

    def _begin(self, picture: PlannedPicture, index: int, count: int) -> None:
        self.progress.picture(index, count)

    def _end(self, outcome: Outcome, result: Result | None) -> None:
        picture = outcome.picture
        if result is not None:
            details = {
                "prompt": picture.job.prompt,
                "job": picture.job.where,
                "parameters": result.metadata.values,
            }
            self.progress.saved(str(picture.path), result.seed, details)
        elif self._as_json:
            self._put(
                "failed", path=str(picture.path), job=picture.job.where, problem=outcome.problem
            )
        elif not self._has_failed:
            name = picture.job.file_name
            self.progress.note(f"{name} failed; the end says why, and what else failed")
        self._has_failed |= result is None

    def finished(self, result: BatchResult) -> None:
        for sheet in result.sheets:
            self._say(f"saved {escaped_line(sheet)}")
        self._sum(result)

    def _sum(self, result: BatchResult) -> None:
        """The table, and the failures, which are said even when nothing else is."""
        self.progress.clear()
        waiting = result.count("waiting")
        counts = [
            ("made", result.count("made")),
            ("already there", result.count("there")),
            ("failed", result.count("failed")),
            *([("not reached", waiting)] if waiting else []),
        ]
        for name, count in counts:
            self._say(f"{name:<14}{count:>8}")
        self._say(f"{'time':<14}{described_time(result.time_s):>8}")
        self._put(
            "summary",
            made=result.count("made"),
            already_there=result.count("there"),
            failed=result.count("failed"),
            waiting=waiting,
            time_s=result.time_s,
            contact_sheets=[str(sheet) for sheet in result.sheets],
        )
        for outcome in result.failures:
            self._problem(outcome.picture, outcome.problem)

    def _problem(self, picture: PlannedPicture, problem: str) -> None:
        """Say what is wrong with a picture, with its name once in the line."""
        job = picture.job
        of_its_file = f"{picture.path} "
        if problem.startswith(of_its_file):
            line = f"{of_its_file}({job.where}) {problem.removeprefix(of_its_file)}"
        else:
            line = f"{job.file_name} ({job.where}): {problem}"
        click.echo(f"failed: {escaped_line(line)}", err=True)

    def _say(self, line: str) -> None:
        if not self._quiet and not self._as_json:
            click.echo(line)

    def _put(self, event: str, **values: Any) -> None:
        if self._as_json:
            click.echo(json_line(event, **values), nl=False)
