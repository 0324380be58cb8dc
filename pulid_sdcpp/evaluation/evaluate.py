"""How well a model keeps a face, changes nothing else, and obeys the prompt.

PuLID's three measures (Guo et al. 2024, arXiv 2404.16022, section 4) over people x prompts x
seeds: likeness in recognisers that identities were made for or not, what an identity changes
outside the head, and what can be read back of the prompt. docs/evaluate.md says what each is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engine.interface import CreateEngine
from ..errors import OutputFileError, PulidError, named, option_error
from ..extraction import extractor
from ..families.pulid_encoders import encoders_of_weights
from ..memory.plan import Vram
from ..options.context import ContextOptions
from ..options.generation import GenerationOptions
from ..options.identity_mode import identity_weight
from ..people.identity_effect import check_takes_part
from ..people.identity_options import IdentityOptions
from ..people.person import Person
from ..pipeline.pulid_pipeline import PulidPipeline
from ..system.atomic_file import check_new, check_writable
from ..system.output_names import check_is_no_input
from ..terminal_text import counted, reason_of, shown
from .options import EvaluationOptions
from .plan import EvaluationPicture, Setting, plan_pictures, plan_settings
from .report import PICTURES_NAME, SUMMARY_NAME, EvaluationResult, write_report
from .scores import PictureScores, summarise

__all__ = ["PLOT_NAME", "SHEET_NAME", "evaluate"]

PLOT_NAME = "plot.png"
SHEET_NAME = "contact_sheet.png"


def evaluate(
    options: EvaluationOptions,
    context: ContextOptions,
    generation: GenerationOptions,
    identity: IdentityOptions | None = None,
    *,
    extractor_files: Mapping[str, Any] | None = None,
    create_extractor: Callable[..., Any] | None = None,
    create_judge: Callable[..., Any] | None = None,
    create_engine: CreateEngine | None = None,
    vram: Vram | None = None,
    say: Callable[[str], None] = lambda line: None,
    progress_callback: Callable[[int, int], object] = lambda done, total: None,
) -> EvaluationResult:
    """Make the pictures, judge them, and write results.csv, summary.json and plot.png.

    If it is interrupted or the engine fails, the files are written for the finished pictures, with
    `complete` false in the summary, before the exception is raised.

    Args:
        options: People, prompts, seeds, sweeps, judges and the folder.
        context: The model, with PuLID weights.
        generation: Options of every picture, except prompt, seed and batch_count.
        identity: Weight and steps of the evaluation's own setting; its embedding is not used.
        extractor_files: The extractor's files as `IdentityExtractor` takes them, such as
            `PresetFiles.extractor`; None: those in `options.models_dir`.
        create_extractor, create_judge, create_engine: Make these parts; None: the real ones.
        vram: As for `PulidPipeline`: GiB of the graphics card's memory to use; None: no plan.
        say: Called with a line of text at each step.
        progress_callback: Called with the number of finished pictures and of all.

    Returns:
        All figures that are in the files.

    Raises:
        ValueError: Options do not go together, or a start step is after the last step.
        FaceNotFoundError: A reference has no face.
        OutputFileError: The files cannot be written; OutputExistsError: they exist, and
            `options.overwrite` is off.
        PulidError: As raised by the parts.
    """
    from ..pictures.png_text import save_new_picture
    from .people import find_people
    from .pictures import PICTURES_FOLDER, PictureKeeper, draw_sheet
    from .plot import draw_result
    from .run import EvaluationRun

    own = dataclasses.replace(identity or IdentityOptions(), embedding=None)
    if context.pulid_weights is None:
        raise option_error(
            f"no PuLID weights are given; name a {named('preset')}, or {named('pulid_weights')}"
        )
    encoders = encoders_of_weights(context.pulid_weights)
    weight = identity_weight(encoders, own.weight)
    own = dataclasses.replace(own, weight=weight)
    settings = plan_settings(options, own)
    planned = plan_pictures(options, settings)
    _check_effect(options, settings, generation, own, encoders)

    # 1. What can be refused is refused before there is work.
    folder = Path(options.output)
    _make_folder(folder)
    if options.keep_pictures:
        _make_folder(folder / PICTURES_FOLDER)
    _check_outputs(options, planned)

    # 2. Who judges, and who is to be recognised.
    say("loading the judge")
    files: Mapping[str, Any] = {"models_dir": options.models_dir}
    if extractor_files is not None:
        files = extractor_files
    judge = (create_judge or extractor.load_judge)(
        **{name: file for name, file in files.items() if name != "pulid_weights"},
        judges=tuple(options.judges),
        attributes=options.attributes,
        device=options.device,
    )
    _check_attributes(options, judge.attribute_choices)
    notes = _notes(options, judge)
    scores: list[PictureScores] = []

    def report(run: EvaluationRun) -> EvaluationResult:
        result = _result(folder, options, settings, scores, notes, len(scores) == len(planned))
        write_report(result, options, run.context, run.generation, own)
        save_new_picture(
            draw_result(result, options.prompts), folder / PLOT_NAME, overwrite=options.overwrite
        )
        if options.keep_pictures:
            sheet = draw_sheet(result, options)
            save_new_picture(sheet, folder / SHEET_NAME, overwrite=options.overwrite)
        return result

    with PulidPipeline(
        context,
        extractor={**files, "pulid_weights": context.pulid_weights},
        vram=vram,
        extractor_device=options.device,
        remember_identities=options.keep_pictures,
        create_engine=create_engine,
        create_extractor=create_extractor,
    ) as pipeline:
        people = find_people(options, judge, pipeline, say)

        # 3. Generate and judge.
        keeper = PictureKeeper(folder, options) if options.keep_pictures else None
        run = EvaluationRun(options, generation, own, people, judge, pipeline, keep=keeper)
        say(
            f"generating {counted(len(planned), 'picture')}, {generation.width}x{generation.height}"
        )
        try:
            for picture in run.score(planned):
                scores.append(picture)
                progress_callback(len(scores), len(planned))
        except (KeyboardInterrupt, PulidError):
            if scores:
                report(run)
                say(f"{folder}: the results of {len(scores)} of {counted(len(planned), 'picture')}")
            raise

    # 4. Report.
    return report(run)


def _check_effect(
    options: EvaluationOptions,
    settings: Sequence[Setting],
    generation: GenerationOptions,
    identity: IdentityOptions,
    encoders: Sequence[str],
) -> None:
    """Refuse a setting of a sweep that would score pictures of nobody as a person's."""
    portrait = options.references[0].portrait
    for setting in settings:
        person = Person(portrait, setting.id_weight, setting.start_step, identity.end_step)
        check_takes_part(person, generation, identity.cfg_start_step, encoders=encoders)


def _make_folder(folder: Path) -> None:
    if folder.is_file():
        raise OutputFileError(f"{folder} is a file; name a folder for the results")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        reason = reason_of(error)
        raise OutputFileError(f"cannot make the folder {folder}: {reason}") from error
    check_writable(folder / PLOT_NAME)


def _check_outputs(options: EvaluationOptions, planned: Sequence[EvaluationPicture]) -> None:
    """Refuse, before there is work, what would replace a file."""
    from .pictures import kept_name

    names = [PICTURES_NAME, SUMMARY_NAME, PLOT_NAME]
    if options.keep_pictures:
        names += [SHEET_NAME, *(kept_name(picture, options) for picture in planned)]
    inputs = [reference.portrait for reference in options.references]
    inputs += [reference.identity for reference in options.references if reference.identity]
    for name in names:
        path = Path(options.output) / name
        check_writable(path)
        check_is_no_input(path, inputs)
        if not options.overwrite:
            check_new(path)


def _check_attributes(options: EvaluationOptions, choices: Mapping[str, Sequence[str]]) -> None:
    """A typing mistake must not look like a prompt that is not followed."""
    for prompt in options.prompts if options.attributes is not None else ():
        for name, value in prompt.attributes.items():
            known = choices.get(name, ())
            if value not in known:
                raise ValueError(
                    f"the prompt {shown(prompt.text)} asks for {name} {shown(value)}, but the "
                    "attribute "
                    f"reader knows {', '.join(known or choices)}"
                )


def _notes(options: EvaluationOptions, judge: Any) -> tuple[str, ...]:
    notes = []
    if not options.judges:
        notes.append(
            "likeness is judged only by the recogniser that identities are made for; "
            "name another with --judge"
        )
    if len(options.references) == 1:
        notes.append("one reference: there are no random pairs, so no AUC and no top-1")
    if not judge.parses_heads:
        notes.append("no face parser: a head is an enlarged face box")
    if not judge.sees_scenes:
        notes.append("no vision tower: no CLIP-I")
    if options.attributes is None:
        notes.append(
            "no attribute reader (--attributes): prompt adherence is not measured; CLIP text "
            "scores are not offered"
        )
    elif not any(prompt.attributes for prompt in options.prompts):
        notes.append("no prompt says what it asks for: prompt adherence is not measured")
    return tuple(notes)


def _result(
    folder: Path,
    options: EvaluationOptions,
    settings: Sequence[Setting],
    pictures: Sequence[PictureScores],
    notes: tuple[str, ...],
    complete: bool,
) -> EvaluationResult:
    own = [p for p in pictures if p.planned.setting == settings[0]]
    return EvaluationResult(
        folder=folder,
        pictures=tuple(pictures),
        settings={
            setting: summarise(
                (p for p in pictures if p.planned.setting == setting), options.prompts
            )
            for setting in settings
        },
        nobody=summarise((p for p in pictures if p.planned.reference is None), options.prompts),
        by_prompt=tuple(
            summarise((p for p in own if p.planned.prompt == index), options.prompts)
            for index in range(len(options.prompts))
        ),
        by_reference={
            reference.name: summarise(
                (p for p in own if p.planned.reference == index), options.prompts
            )
            for index, reference in enumerate(options.references)
        },
        notes=notes,
        complete=complete,
    )
