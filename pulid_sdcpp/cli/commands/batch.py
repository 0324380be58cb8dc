"""`pulid-sdcpp batch`: a file of jobs, made in one go, whatever stops it in between."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...batch.fields import SHARED_FIELDS
from ...errors import GenerationCancelled
from ...pictures.formats import QUALITY
from ...terminal_text import counted, escaped_line
from ..flags.generate import option_names, some_options
from ..flags.output import json_option
from ..flags.table import FILE_PATH, GroupedCommand, grouped_option
from ..flags.types import QualityType
from ..progress.choice import create_progress
from ..progress.interrupt import Interrupted
from ..progress.json_progress import json_line
from ..progress.progress import Progress, described_time

if TYPE_CHECKING:
    from ...batch.job import Batch
    from ...batch.plan import PlannedPicture
    from ...batch.run import BatchResult, Outcome
    from ...pictures.result import Result

__all__ = ["batch"]

_OWN_FIELDS = ("preset", "models_dirs", "vram", "wildcards_dirs", "no_wildcards",
               "overwrite", "quiet")  # fmt: skip
_HEADING = "Batch"


@click.command(cls=GroupedCommand)
@click.argument("file", type=FILE_PATH, metavar="JOBS")
@grouped_option(
    "output_dir",
    "-o",
    "--output-dir",
    heading=_HEADING,
    type=FILE_PATH,
    help="Folder for the pictures, created if missing; default: as in JOBS, or next to "
    "JOBS with its name.",
)
@grouped_option(
    "dry_run",
    "--dry-run",
    heading=_HEADING,
    is_flag=True,
    help="Check everything and list the pictures, but make none.",
)
@grouped_option(
    "quality",
    "--quality",
    heading=_HEADING,
    type=QualityType(),
    help="Of pictures that are .jpg or .webp; lossless, for .webp, keeps every pixel.  "
    f"[default: as in JOBS, or {QUALITY}]",
)
@json_option("Report everything as JSON, one object per line on stdout.")
@some_options({*option_names(lambda fact: fact.batch), *_OWN_FIELDS})
@click.pass_context
def batch(
    ctx: click.Context,
    file: Path,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    vram: Any,
    **_: Any,
) -> None:
    """Make all pictures of a job file: people x prompts x seeds x weights.

    JOBS is TOML, JSON lines or CSV, or - for stdin; see docs/batch.md. Identities are extracted
    once and the models are loaded once. If the batch is interrupted, run it again to make the
    missing pictures. At the end it writes a contact sheet and summary.json.

    Options override the file's shared settings; settings of a job override both.
    """
    from ...batch.formats import MAX_BYTES
    from ...batch.job_file import read_batch
    from ...batch.plan import plan_batch
    from ...batch.run import run_batch
    from ...request.generate_request import settle_context
    from ..given.given_values import find_model, given_values, preset_name, wildcards
    from ..given.prompt_text import STDIN, stdin_bytes
    from ..progress.engine_log import show_engine_log
    from ..progress.interrupt import second_interrupt_leaves
    from .generate import create_pipeline

    # 1. What was asked for, refused here if it cannot be done.
    if as_json and quiet:
        raise click.UsageError("--json and --quiet exclude each other")
    given = given_values(ctx)
    shared = {name: given[name] for name in SHARED_FIELDS if name in given}
    name = preset_name(given)
    content = None
    if str(file) == STDIN:
        file, content = Path("stdin"), stdin_bytes("the jobs", MAX_BYTES)
    own = {key: given[key] for key in ("output_dir", "quality") if key in given}
    own["wildcards"] = wildcards(given)
    jobs = read_batch(file, settings=shared, preset=name, content=content, **own)
    preset = find_model(given, jobs.preset)
    settings = {} if preset is None else dict(preset.settings)
    extractor = {} if preset is None else preset.extractor
    context = settle_context(given, preset, reads_pictures=jobs.read_pictures)
    report = _Report(create_progress(quiet=quiet, as_json=as_json), as_json=as_json, quiet=quiet)
    # Model files that are new here are hashed, which takes seconds per gigabyte.
    report.progress.stage(f"checking {counted(len(jobs.jobs), 'job')} and the files needed")
    pictures = plan_batch(jobs, context, settings, extractor, overwrite=overwrite)
    report.planned(jobs, pictures, dry_run)
    if dry_run:
        ctx.exit(1 if any(picture.state == "taken" for picture in pictures) else 0)

    with contextlib.ExitStack() as stack:
        log = {"verbose": context.verbose, "quiet": quiet}
        without_t5 = jobs.preset == "pocket"  # the engine would miss it
        stack.enter_context(show_engine_log(report.progress, **log, quiet_engine=without_t5))
        stack.enter_context(second_interrupt_leaves())
        pipeline = stack.enter_context(
            create_pipeline(context, preset, given, vram, report.progress)
        )
        # 2. Make it.
        try:
            result = run_batch(
                jobs,
                pictures,
                pipeline,
                settings,
                overwrite=overwrite,
                on_begin=report.begin,
                on_end=report.end,
                on_stop=report.stopped,
            )
        except (KeyboardInterrupt, GenerationCancelled):
            raise Interrupted(
                "interrupted; finished pictures are kept; run the same command again to continue"
            ) from None

    # 3. Say what came of it.
    report.finished(result)
    if result.failures:
        ctx.exit(1)


class _Report:
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

    def begin(self, picture: PlannedPicture, index: int, count: int) -> None:
        self.progress.picture(index, count)

    def end(self, outcome: Outcome, result: Result | None) -> None:
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

    def stopped(self, result: BatchResult) -> None:
        self._sum(result)

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
