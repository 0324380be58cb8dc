"""An evaluation as charts: a row at its own setting, and a row for each sweep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..pictures.chart import Panel, draw_panels
from .options import EvaluationPrompt
from .plan import Setting
from .report import EvaluationResult
from .scores import PictureScores, Scores

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["draw_result"]

_BIN = 0.1
"""Width of a bar of similarities, which are cosines, -1 to 1."""
_MAX_PROMPTS = 30
_BY_NAME: tuple[tuple[str, Callable[[Setting], float], Callable[[Setting], float]], ...] = (
    ("identity weight", lambda s: s.id_weight, lambda s: s.start_step),
    ("start step", lambda s: s.start_step, lambda s: s.id_weight),
)
"""Of each sweep, what varies and what stays."""


def draw_result(result: EvaluationResult, prompts: Sequence[EvaluationPrompt]) -> Image.Image:
    """Likeness, purity and adherence; what was not measured has no chart.

    Args:
        result: What was found.
        prompts: Those of the evaluation, in its order.
    """
    rows = [[_pairs(result), _purity_by_prompt(result, prompts), _with_and_without(result)]]
    own = next(iter(result.settings))
    for name, varies, stays in _BY_NAME:
        swept = {s: scores for s, scores in result.settings.items() if stays(s) == stays(own)}
        if len(swept) > 1:
            ordered = sorted(swept, key=varies)
            labels = [f"{varies(setting):g}" for setting in ordered]
            rows.append(_sweep(name, labels, [swept[setting] for setting in ordered]))
    measured = [list(filter(_has_values, row)) for row in rows]
    nothing = Panel("nothing was measured", [""], {})
    return draw_panels(list(filter(None, measured)) or [[nothing]])


def _has_values(panel: Panel) -> bool:
    return any(value is not None for values in panel.series.values() for value in values)


def _pairs(result: EvaluationResult) -> Panel:
    """How far the similarities of own pairs lie from those of random pairs."""
    own = next(iter(result.settings))
    pictures = [p for p in result.pictures if p.planned.setting == own]
    recogniser = list(result.scores.similarity)[-1:]  # the judge, where there is one
    title = "likeness of pairs" + "".join(f", by {name}" for name in recogniser)
    found: dict[str, list[float]] = {}
    for name in recogniser:
        found = {
            "with the own reference": _similarities(pictures, name, own=True),
            "with the other references": _similarities(pictures, name, own=False),
        }
    found = {name: values for name, values in found.items() if values}
    bins = [_bin(value) for values in found.values() for value in values] or [0]
    first, last = min(bins), max(bins)
    series = {
        f"{name} ({len(values)})": _histogram(values, first, last) for name, values in found.items()
    }
    labels = [_tenths(index) for index in range(first, last + 2)]
    return Panel(
        title,
        labels,
        series,
        bars=True,
        edges=True,
        x_title="cosine similarity",
        y_title="share of the pairs",
    )


def _tenths(index: int) -> str:
    return f"{index * _BIN:.1f}" if index else "0"


def _bin(value: float) -> int:
    return math.floor(value / _BIN + 1e-9)


def _similarities(pictures: Iterable[PictureScores], name: str, *, own: bool) -> list[float]:
    return [
        value
        for picture in pictures
        for index, value in enumerate(picture.similarities[name])
        if (index == picture.planned.reference) == own
    ]


def _histogram(values: Sequence[float], first: int, last: int) -> list[float | None]:
    """Share of the values in each of the bins from `first` to `last`."""
    counts = [0] * (last - first + 1)
    for value in values:
        counts[_bin(value) - first] += 1
    return [count / len(values) for count in counts]


def _purity_by_prompt(result: EvaluationResult, prompts: Sequence[EvaluationPrompt]) -> Panel:
    shown = result.by_prompt[:_MAX_PROMPTS]
    labels = [prompt.text for prompt in prompts[:_MAX_PROMPTS]]
    title = "unchanged outside the head, by prompt"
    if len(result.by_prompt) > _MAX_PROMPTS:
        title += f" (the first {_MAX_PROMPTS} of {len(result.by_prompt)})"
    return Panel(
        title, labels, _purity(shown), bars=True, lying=True, numbers=True, include=(0.0, 1.0)
    )


def _with_and_without(result: EvaluationResult) -> Panel:
    names = list(result.scores.adherence)
    series = {
        label: [_share(scores, name) for name in names]
        for label, scores in (("with identity", result.scores), ("without", result.nobody))
    }
    return Panel(
        "asked for and read back",
        names,
        series if names else {},
        bars=True,
        lying=True,
        numbers=True,
        include=(0.0, 1.0),
        x_title="share of the pictures",
    )


def _sweep(name: str, labels: Sequence[str], scores: Sequence[Scores]) -> list[Panel]:
    likeness: dict[str, Sequence[float | None]] = {}
    # Of an evaluation that was interrupted, some settings have no figures.
    for recogniser in dict.fromkeys(name for each in scores for name in each.similarity):
        found = [each.similarity.get(recogniser) for each in scores]
        likeness[recogniser] = [None if each is None else each.mean for each in found]
        likeness[f"{recogniser}, other references"] = [
            None if each is None else each.random_mean for each in found
        ]
    attributes = list(dict.fromkeys(name for each in scores for name in each.adherence))
    read_back = {
        attribute: [_share(each, attribute) for each in scores] for attribute in attributes
    }
    return [
        Panel(
            f"likeness by {name}",
            labels,
            _measured(likeness),
            include=(0.0, 1.0),
            x_title=name,
            y_title="mean cosine similarity",
        ),
        Panel(
            f"unchanged outside the head, by {name}",
            labels,
            _purity(scores),
            include=(1.0,),
            x_title=name,
            y_title="1: nothing changed",
        ),
        Panel(
            f"asked for and read back, by {name}",
            labels,
            read_back,
            include=(0.0, 1.0),
            x_title=name,
            y_title="share of the pictures",
        ),
    ]


def _purity(scores: Sequence[Scores]) -> dict[str, Sequence[float | None]]:
    found = [each.purity for each in scores]
    return _measured(
        {
            "SSIM": [None if each is None else each.ssim for each in found],
            "CLIP-I": [None if each is None else each.clip_i for each in found],
        }
    )


def _measured(series: Mapping[str, Sequence[float | None]]) -> dict[str, Sequence[float | None]]:
    """Those that have a value."""
    return {
        name: values
        for name, values in series.items()
        if any(value is not None for value in values)
    }


def _share(scores: Scores, name: str) -> float | None:
    found = scores.adherence.get(name)
    return None if found is None else found.share
