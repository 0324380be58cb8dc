"""`pulid-sdcpp evaluate`: likeness, purity and prompt adherence, measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import ImageFileError, ModelFileError
from ...identity.photo_files import PHOTO_SUFFIXES
from ...options.facts import of
from ...people.identity_options import IdentityOptions
from ...terminal_text import escaped_line, shown
from ..flags.generate import option_names, some_options
from ..flags.table import FILE_PATH, F, GroupedCommand, GroupedOption
from ..progress.progress import Progress

if TYPE_CHECKING:
    from ...evaluation.options import EvaluationOptions
    from ...evaluation.report import EvaluationResult
    from ...evaluation.scores import Scores
    from ...store.model_store import PresetFiles

__all__ = ["evaluate"]

_IDENTITY_FIELDS = [name for name, fact in of(IdentityOptions).items() if fact.evaluate]
_EVALUATION_FIELDS = (
    "output",
    "seeds",
    "id_weights",
    "start_steps",
    "models_dir",
    "judges",
    "attributes",
    "device",
    "keep_pictures",
    "overwrite",
)


class _List(click.ParamType):
    """`0,0.5,1`."""

    def __init__(self, number: type[int] | type[float]) -> None:
        self.number = number
        self.name = "A,B,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.number(part) for part in value.split(",") if part.strip())
        except ValueError:
            self.fail(f"{shown(value)} is not a list of numbers like 0,1,2", param, ctx)


def _option(*flags: str, **kwargs: Any) -> Callable[[F], F]:
    return click.option(*flags, cls=GroupedOption, heading="Evaluation", **kwargs)


@click.command(cls=GroupedCommand)
@click.argument("portraits", nargs=-1, metavar="[PORTRAIT]...", type=FILE_PATH)
@_option(
    "--identity",
    "identities",
    type=(str, FILE_PATH),
    multiple=True,
    metavar="IDENTITY PORTRAIT",
    help="A person: an identity file or a kept name, and a portrait to compare with; may be "
    "repeated.",
)
@_option("-p", "--prompt", "prompts", multiple=True, help="Prompt; may be repeated.")
@_option(
    "--prompts",
    "prompts_file",
    type=FILE_PATH,
    metavar="FILE",
    help="File with a prompt per line; in a .jsonl file, lines such as "
    '{"text": "...", "attributes": {"background": "red"}}.',
)
@_option(
    "-s",
    "--seed",
    "seeds",
    type=click.IntRange(min=0),
    multiple=True,
    default=(42,),
    show_default=True,
    help="Seed; may be repeated.",
)
@_option(
    "--id-weights",
    type=_List(float),
    default=(),
    metavar="A,B,...",
    help="Weights to try, such as 0,0.25,0.5,0.75,1.",
)
@_option(
    "--start-steps",
    type=_List(int),
    default=(),
    metavar="A,B,...",
    help="Start steps to try, such as 0,1,2,4.",
)
@_option(
    "--models-dir",
    type=FILE_PATH,
    default=Path("models"),
    show_default=True,
    help="Folder with the extractor's files; see extract. With --preset, one more folder to "
    "search.",
)
@_option(
    "--judge",
    "judges",
    type=FILE_PATH,
    metavar="FILE",
    multiple=True,
    help="A face recogniser that extraction does not use (.onnx, ArcFace's signature), such "
    "as buffalo_l's w600k_r50.onnx; may be repeated.",
)
@_option(
    "--attributes",
    type=FILE_PATH,
    metavar="FILE",
    help="A network (.onnx) that reads from a picture the attributes that prompts ask for.",
)
@_option(
    "--device",
    default="auto",
    show_default=True,
    help="PyTorch device of the extractor's networks: auto, cpu, cuda, cuda:1, mps.",
)
@_option(
    "--pocket",
    is_flag=True,
    help="Evaluate the pocket model, by default with its own portraits, prompts and judge; the "
    "same as --preset pocket.",
)
@_option(
    "-o",
    "--output",
    type=FILE_PATH,
    default=Path("evaluation"),
    show_default=True,
    help="Folder for results.csv, summary.json and plot.png, created if missing.",
)
@_option("--keep-pictures", is_flag=True, help="Also write the pictures and a contact sheet.")
@_option("--overwrite", is_flag=True, help="Replace the results of an earlier evaluation.")
@some_options({"preset", "vram", "quiet", *option_names(lambda fact: fact.evaluate)})
@click.pass_context
def evaluate(ctx: click.Context, pocket: bool, quiet: bool, vram: Any, **values: Any) -> None:
    """Measure how well a model keeps faces, leaves the rest unchanged, and follows prompts.

    Every PORTRAIT, or every picture in a folder, is a person. Each is generated with every prompt
    and seed, and judged. Needs the extra [extract].
    """
    from ...evaluation.evaluate import evaluate as run
    from ...request.generate_request import settle
    from ..given.given_values import asked, find_model, given_values, plan_for, preset_name
    from ..given.pocket_defaults import pocket_evaluation, pocket_preset
    from ..progress.engine_log import show_engine_log
    from ..progress.interrupt import second_interrupt_leaves

    progress = Progress(quiet, unit="picture")
    given = given_values(ctx)
    name = preset_name(given)
    if pocket and name not in ("", "pocket"):
        raise click.UsageError(f"--pocket and --preset {shown(name)} exclude each other")
    pocket = pocket or name == "pocket"
    options = _evaluation_options({**values, **(pocket_evaluation(given) if pocket else {})})
    # While a plan is made, the longest prompt stands for all.
    longest = max((prompt.text for prompt in options.prompts), key=len)
    folders = [given["models_dir"]] if "models_dir" in given else []
    preset = pocket_preset() if pocket else find_model({**given, "models_dirs": folders}, name)
    request = settle(
        {**asked(given), "prompt": longest, "seed": options.seeds[0], "people": ()}, preset=preset
    )
    context, generation = request.context, request.generation
    identity = IdentityOptions(**{name: values[name] for name in _IDENTITY_FIELDS})
    if vram is not None:  # what cannot fit; when the model is loaded, it is planned again
        plan_for(context, generation, vram, progress)
    # The engine would warn of every picture that the pocket model has no T5 text encoder.
    verbose = context.verbose
    log = show_engine_log(progress, verbose=verbose, quiet=quiet, quiet_engine=pocket)
    with log, second_interrupt_leaves():
        result = run(
            options,
            replace(context, verbose=False),  # show_engine_log shows what the engine says
            generation,
            identity,
            extractor_files=_extractor_files(preset) if name and not pocket else None,
            vram=vram,
            say=progress.stage,
            progress_callback=progress.step,
        )
    if not quiet:
        _print(result)


def _extractor_files(preset: PresetFiles | None) -> Mapping[str, Path] | None:
    """What a preset's identities and judge are made of.

    Raises:
        ModelFileError: Not all of it is there; says how to get it.
    """
    if preset is None:
        return None
    if preset.missing_for_extraction:
        raise ModelFileError(preset.missing_for_extraction)
    return preset.extractor


def _evaluation_options(values: Mapping[str, Any]) -> EvaluationOptions:
    from ...evaluation.options import EvaluationOptions, EvaluationPrompt, Reference
    from ...evaluation.prompts import read_prompts
    from ...identity.named_person import named_identity

    prompts = [
        each if isinstance(each, EvaluationPrompt) else EvaluationPrompt(each)
        for each in values["prompts"]
    ]
    if values["prompts_file"] is not None:
        prompts += read_prompts(values["prompts_file"])
    references = [Reference(path) for path in _pictures(values["portraits"])]
    references += [
        Reference(portrait, named_identity(identity)) for identity, portrait in values["identities"]
    ]
    return EvaluationOptions(
        references=tuple(references),
        prompts=tuple(prompts),
        **{name: values[name] for name in _EVALUATION_FIELDS},
    )


def _pictures(paths: Sequence[Path]) -> list[Path]:
    """The pictures among files and in folders, those of a folder by name."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                each for each in path.iterdir() if each.suffix.lower() in PHOTO_SUFFIXES
            )
            if not inside:
                raise click.UsageError(f"the folder {path} has no pictures")
            found += inside
        elif not path.exists():
            raise ImageFileError(f"{path}: no such file; expected a portrait")
        else:
            found.append(path)
    return found


def _print(result: EvaluationResult) -> None:
    for line in _table(result):
        click.echo(line)
    for note in result.notes:
        click.echo(f"note: {note}")
    click.echo(f"saved {escaped_line(result.folder)}")


def _table(result: EvaluationResult) -> list[str]:
    """The figures of every setting, one line each, under their headings."""
    recognisers = list(result.scores.similarity)
    attributes = list(result.scores.adherence)
    headings = [
        "id_weight",
        "start",
        "no face",
        *(f"{name}{part}" for name in recognisers for part in ("", " random", " AUC", " top-1")),
        "difference",
        "SSIM",
        "CLIP-I",
        *attributes,
    ]
    rows = [
        [
            f"{setting.id_weight:g}",
            str(setting.start_step),
            *_figures(scores, recognisers, attributes),
        ]
        for setting, scores in result.settings.items()
    ]
    rows.append(["without", "", *_figures(result.nobody, recognisers, attributes)])
    # As many columns as wide screens have would not fit: one figure a line.
    widest = max(map(len, headings))
    return [
        f"{heading:<{widest}}" + "".join(f"{cell:>9}" for cell in cells)
        for heading, *cells in zip(headings, *rows, strict=True)
    ]


def _figures(scores: Scores, recognisers: Sequence[str], attributes: Sequence[str]) -> list[str]:
    cells = [f"{scores.n_without_face}/{scores.n_pictures}"]
    for name in recognisers:
        found = scores.similarity.get(name)
        cells += (
            [""] * 4
            if found is None
            else [
                _number(found.mean),
                _number(found.random_mean),
                _number(found.auc, 4),
                _number(found.top_1),
            ]
        )
    purity = scores.purity
    cells += (
        [""] * 3
        if purity is None
        else [_number(purity.mean_difference, 2), _number(purity.ssim), _number(purity.clip_i)]
    )
    for name in attributes:
        read = scores.adherence.get(name)
        cells.append("" if read is None else _number(read.share))
    return cells


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
