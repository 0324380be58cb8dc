"""What an evaluation found, as files: one row per picture, and a summary for programs."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..options.context import ContextOptions
from ..options.generation import GenerationOptions
from ..people.identity_options import IdentityOptions
from ..system.atomic_file import atomic_file
from ..system.output_names import save_under_free_name
from .options import EvaluationOptions
from .plan import Setting
from .scores import PictureScores, Scores

__all__ = ["PICTURES_NAME", "SUMMARY_NAME", "EvaluationResult", "write_report"]

PICTURES_NAME = "results.csv"
SUMMARY_NAME = "summary.json"
_PACKAGES = ("pulid-sdcpp", "numpy", "pillow", "torch", "onnxruntime", "insightface")
_DIGITS = 6


@dataclass(frozen=True)
class EvaluationResult:
    """The results of an evaluation.

    Attributes:
        folder: The folder of the files.
        pictures: The pictures' scores, in the order in which they were made.
        settings: Figures by setting: first the evaluation's own, then those of the sweeps.
        nobody: Figures of the pictures without identity, to compare prompt adherence with.
        by_prompt: Figures at the evaluation's own setting, in the order of the prompts.
        by_reference: Likewise for the references, by their names.
        notes: What was not measured, and why.
        complete: Whether every planned picture was made.
    """

    folder: Path
    pictures: tuple[PictureScores, ...]
    settings: Mapping[Setting, Scores]
    nobody: Scores
    by_prompt: tuple[Scores, ...]
    by_reference: Mapping[str, Scores]
    notes: tuple[str, ...] = ()
    complete: bool = True

    @property
    def scores(self) -> Scores:
        """The figures at the evaluation's own setting."""
        return next(iter(self.settings.values()))


def write_report(
    result: EvaluationResult,
    options: EvaluationOptions,
    context: ContextOptions,
    generation: GenerationOptions,
    identity: IdentityOptions,
) -> None:
    """Write results.csv and summary.json into the result's folder, each whole or not at all.

    Files that came there meanwhile are kept, and the next free names taken.

    Raises:
        OutputFileError: They cannot be written.
    """
    table = _table(result.pictures, options)
    summary = {
        "complete": result.complete,
        "notes": result.notes,
        "own": asdict(result.scores),
        "settings": [
            {**asdict(setting), **asdict(scores)} for setting, scores in result.settings.items()
        ],
        "without_identity": asdict(result.nobody),
        "by_prompt": [
            {"prompt": prompt.text, **asdict(scores)}
            for prompt, scores in zip(options.prompts, result.by_prompt, strict=True)
        ],
        "by_reference": {name: asdict(scores) for name, scores in result.by_reference.items()},
        "parameters": {
            "evaluation": _values(options),
            "context": _values(context),
            "generation": _values(generation, leave_out=("prompt", "seed", "batch_count")),
            "identity": _values(identity, leave_out=("embedding",)),
        },
        "versions": {"python": platform.python_version(), **_versions()},
    }
    text = json.dumps(_rounded(summary), indent=1, default=_text) + "\n"
    for name, content in ((PICTURES_NAME, table), (SUMMARY_NAME, text)):
        _write(result.folder / name, content.encode(), options.overwrite)


def _write(path: Path, content: bytes, overwrite: bool) -> None:
    def write(place: Path) -> None:
        with atomic_file(place, overwrite=overwrite) as file:
            file.write(content)

    # There was no such file in the beginning, and what took hours to find is not lost by one now.
    if overwrite:
        write(path)
    else:
        save_under_free_name(path, write)


def _table(pictures: Sequence[PictureScores], options: EvaluationOptions) -> str:
    recognisers = list(pictures[0].similarities) if pictures else []
    attributes = sorted({name for prompt in options.prompts for name in prompt.attributes})
    columns = [
        "reference",
        "id_weight",
        "start_step",
        "prompt",
        "seed",
        "face_found",
        "face_score",
        *(f"similarity_{name}" for name in recognisers),
        *(f"most_alike_{name}" for name in recognisers),
        "outside",
        "mean_difference",
        "ssim",
        "clip_i",
        *(f"{kind}_{name}" for name in attributes for kind in ("asked", "read")),
        "file",
        "text",
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for picture in pictures:
        row = _row(picture, options, attributes)
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _row(
    picture: PictureScores, options: EvaluationOptions, attributes: Iterable[str]
) -> dict[str, Any]:
    planned, agreement = picture.planned, picture.agreement
    prompt = options.prompts[planned.prompt]
    names = [reference.name for reference in options.references]
    row: dict[str, Any] = {
        "reference": None if planned.reference is None else names[planned.reference],
        "id_weight": planned.setting and planned.setting.id_weight,
        "start_step": planned.setting and planned.setting.start_step,
        "prompt": planned.prompt,
        "seed": planned.seed,
        "face_found": picture.face_found,
        "face_score": picture.face_score,
        "outside": agreement and agreement.outside,
        "mean_difference": agreement and agreement.mean_difference,
        "ssim": agreement and agreement.ssim,
        "clip_i": picture.clip_i,
        "file": picture.file,
        "text": prompt.text,
    }
    for name, similarities in picture.similarities.items():
        row[f"similarity_{name}"] = picture.own_similarity(name)
        if picture.face_found:
            row[f"most_alike_{name}"] = names[similarities.index(max(similarities))]
    for name in attributes:
        row[f"asked_{name}"] = prompt.attributes.get(name)
        row[f"read_{name}"] = (picture.attributes or {}).get(name)
    return row


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def _values(options: Any, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    return {
        field.name: _plain(getattr(options, field.name))
        for field in fields(options)
        if field.name not in leave_out
    }


def _plain(value: Any) -> Any:
    """A value of an options object as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return _values(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _rounded(value: Any) -> Any:
    """Figures with as many digits as they deserve."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _text(value: Any) -> str:
    """Whatever else is among options: a picture to start from, for example."""
    return type(value).__name__


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
