"""An evaluation as charts: a row at its own setting, and a row for each sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..pictures.chart import Panel, draw_panels
from .plan import Setting
from .report import EvaluationResult
from .scores import PictureScores, Scores

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["draw_result"]

_BINS = 24
_LOW, _HIGH = -0.2, 1.0
"""Of cosines as they occur; others are counted in the outermost bins."""
_BY_NAME: tuple[tuple[str, Callable[[Setting], float], Callable[[Setting], float]], ...] = (
    ("id_weight", lambda s: s.id_weight, lambda s: s.start_step),
    ("start step", lambda s: s.start_step, lambda s: s.id_weight),
)
"""Of each sweep, what varies and what stays."""


def draw_result(result: EvaluationResult) -> Image.Image:
    """Likeness, purity and adherence; what was not measured has an empty chart."""
    rows = [[_pairs(result), _purity_by_prompt(result), _with_and_without(result)]]
    own = next(iter(result.settings))
    for name, varies, stays in _BY_NAME:
        swept = {s: scores for s, scores in result.settings.items() if stays(s) == stays(own)}
        if len(swept) > 1:
            ordered = sorted(swept, key=varies)
            labels = [f"{varies(setting):g}" for setting in ordered]
            rows.append(_sweep(name, labels, [swept[setting] for setting in ordered]))
    return draw_panels(rows)


def _pairs(result: EvaluationResult) -> Panel:
    """How far the similarities of own pairs lie from those of random pairs."""
    own = next(iter(result.settings))
    pictures = [p for p in result.pictures if p.planned.setting == own]
    recogniser = list(result.scores.similarity)[-1:]  # the judge, where there is one
    title = "pairs by similarity" + "".join(f", {name}" for name in recogniser)
    series: dict[str, Sequence[float | None]] = {}
    for name in recogniser:
        series = {
            "own": _histogram(_similarities(pictures, name, own=True)),
            "random": _histogram(_similarities(pictures, name, own=False)),
        }
    width = (_HIGH - _LOW) / _BINS
    labels = [f"{_LOW + (index + 0.5) * width:.2f}" for index in range(_BINS)]
    highest = max((value or 0.0 for values in series.values() for value in values), default=1.0)
    return Panel(title, labels, series, high=highest or 1.0)


def _similarities(pictures: Iterable[PictureScores], name: str, *, own: bool) -> list[float]:
    return [
        value
        for picture in pictures
        for index, value in enumerate(picture.similarities[name])
        if (index == picture.planned.reference) == own
    ]


def _histogram(values: Sequence[float]) -> list[float | None]:
    """Share of the values in each bin."""
    counts = [0] * _BINS
    for value in values:
        index = int((value - _LOW) / (_HIGH - _LOW) * _BINS)
        counts[min(max(index, 0), _BINS - 1)] += 1
    return [count / len(values) if values else None for count in counts]


def _purity_by_prompt(result: EvaluationResult) -> Panel:
    labels = [str(index) for index in range(len(result.by_prompt))]
    return Panel("purity by prompt", labels, _purity(result.by_prompt), bars=True)


def _with_and_without(result: EvaluationResult) -> Panel:
    names = list(result.scores.adherence)
    series = {
        label: [_share(scores, name) for name in names]
        for label, scores in (("with identity", result.scores), ("without", result.nobody))
    }
    return Panel("asked for and read back", names, series if names else {}, bars=True)


def _sweep(name: str, labels: Sequence[str], scores: Sequence[Scores]) -> list[Panel]:
    likeness: dict[str, Sequence[float | None]] = {}
    # Of an evaluation that was interrupted, some settings have no figures.
    for recogniser in dict.fromkeys(name for each in scores for name in each.similarity):
        found = [each.similarity.get(recogniser) for each in scores]
        likeness[recogniser] = [None if each is None else each.mean for each in found]
        likeness[f"{recogniser}, random"] = [
            None if each is None else each.random_mean for each in found
        ]
    attributes = list(dict.fromkeys(name for each in scores for name in each.adherence))
    return [
        Panel(f"likeness by {name}", labels, likeness, low=_LOW, high=_HIGH, intervals=6),
        Panel(f"purity by {name}", labels, _purity(scores)),
        Panel(
            f"read back by {name}",
            labels,
            {attribute: [_share(each, attribute) for each in scores] for attribute in attributes},
        ),
    ]


def _purity(scores: Sequence[Scores]) -> Mapping[str, Sequence[float | None]]:
    found = [each.purity for each in scores]
    return {
        "SSIM outside the head": [None if each is None else each.ssim for each in found],
        "CLIP-I": [None if each is None else each.clip_i for each in found],
    }


def _share(scores: Scores, name: str) -> float | None:
    found = scores.adherence.get(name)
    return None if found is None else found.share
