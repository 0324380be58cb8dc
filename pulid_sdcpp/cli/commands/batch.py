"""`pulid-sdcpp batch`: a file of jobs, made in one go, whatever stops it in between."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from ...batch.fields import SHARED_FIELDS
from ...pictures.formats import QUALITY
from ...terminal_text import counted
from ..flags.generate import option_names, some_options
from ..flags.output import json_option
from ..flags.table import FILE_PATH, GroupedCommand, grouped_option
from ..flags.types import QualityType
from ..progress.batch_report import BatchReport
from ..progress.choice import create_progress

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
    from ...families.pulid_encoders import encoders_of_weights
    from ...request.generate_request import settle_context
    from ..given.given_values import find_model, given_values, preset_name, wildcards
    from ..given.pipeline import create_pipeline
    from ..given.prompt_text import STDIN, stdin_bytes
    from ..progress.engine_log import show_engine_log
    from ..progress.interrupt import second_interrupt_leaves

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
    jobs = jobs.with_own_weights(encoders_of_weights(context.pulid_weights))
    progress = create_progress(quiet=quiet, as_json=as_json)
    report = BatchReport(progress, as_json=as_json, quiet=quiet)
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
            create_pipeline(context, preset, given, vram, report.progress.event)
        )
        # 2. Make it.
        result = report.made(jobs, pictures, pipeline, settings, overwrite=overwrite)

    # 3. Say what came of it.
    report.finished(result)
    if result.failures:
        ctx.exit(1)
