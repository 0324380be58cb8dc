"""A grid as HTML: its pictures by prompt, weight and seed, with their likeness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from . import screen_texts as texts
from .live import html, joined
from .score_html import NONE, likeness_text

__all__ = ["best_weight", "grid_html"]

_TABLE = """<div class="ps-table" role="region" aria-label="{label}" tabindex="0"><table>
<thead><tr><th scope="col">{prompt}</th>{columns}<th scope="col">{mean}</th></tr></thead>
<tbody>{rows}</tbody>{foot}</table></div>"""

_CELL = """<td{marked}><button type="button" class="ps-open" data-card data-do="open"
data-id="{id}" aria-label="{open}">
<img src="pulid/v1/pictures/{id}/thumbnail" alt="" loading="lazy" width="128"
height="128"></button>
<span class="ps-likeness">{likeness}{lowest}</span></td>"""

_FILE = """<a class="ps-button" href="pulid/v1/grids/{job}/{file}"
download="{job}-{file}">{text}</a>"""

_END = """<dl class="ps-means"><div><dt>{mean}</dt><dd>{value}</dd></div>
<div><dt>{others} <details class="ps-help"><summary
aria-label="{others}: ?">?</summary><p>{help}</p></details></dt><dd>{other}</dd></div></dl>"""


def best_weight(result: Mapping[str, Any]) -> float | None:
    """The weight with the highest mean; None: there are not two, or none is measured."""
    measured = [
        (one["similarity"], one["weight"])
        for one in result.get("by_weight", ())
        if one.get("similarity") is not None and one.get("weight") is not None
    ]
    return max(measured)[1] if len(measured) > 1 else None


def grid_html(result: Mapping[str, Any], *, job: str = "", finished: bool = True) -> Markup:
    """The table, as far as it is.

    Args:
        result: Of a grid job: table, weakest, mean, mean_best_other, by_prompt, by_weight.
        job: The job's id; "": nothing can be downloaded.
        finished: Whether no more pictures come.
    """
    table: Sequence[Mapping[str, Any]] = result.get("table", ())
    if not table:
        return html('<p class="ps-empty">{text}</p>', text=texts.GRID_NONE)
    columns = list(dict.fromkeys((row["weight"], row["seed"]) for row in table))
    rows: dict[str, dict[Any, Mapping[str, Any]]] = {}
    for row in table:
        rows.setdefault(row["prompt"], {})[row["weight"], row["seed"]] = row
    means = {one["prompt"]: one["similarity"] for one in result.get("by_prompt", ())}
    weakest = result.get("weakest")
    body = [
        html(
            '<tr><th scope="row">{prompt}</th>{cells}<td class="ps-mean">{mean}</td></tr>',
            prompt=prompt,
            cells=joined([_cell(cells.get(at), weakest, finished) for at in columns]),
            mean=likeness_text(means.get(prompt)),
        )
        for prompt, cells in rows.items()
    ]
    made = html(
        _TABLE,
        label=texts.GRID,
        prompt=texts.PROMPT,
        mean=texts.MEAN_OF_PROMPT,
        columns=joined([_title(weight, seed, columns) for weight, seed in columns]),
        rows=joined(body),
        foot=_foot(result, columns),
    )
    return made + _end(result) + (_files(result, job) if job else "")


def _title(weight: float | None, seed: int, columns: Sequence[tuple[Any, Any]]) -> Markup:
    several_seeds = len({one for _, one in columns}) > 1
    if weight is None:
        text = f"{texts.SEED} {seed}"
    elif several_seeds:
        text = texts.WEIGHT_SEED.format(weight=f"{weight:g}", seed=seed)
    else:
        text = texts.WEIGHT.format(weight=f"{weight:g}")
    return html('<th scope="col">{text}</th>', text=text)


def _cell(row: Mapping[str, Any] | None, weakest: str | None, finished: bool) -> Markup:
    if row is None or not row.get("picture_id"):
        text = (row or {}).get("error") or (NONE if finished else texts.WAITS)
        return html('<td><span class="ps-place">{text}</span></td>', text=text)
    its_id, similarity = row["picture_id"], row.get("similarity")
    is_lowest = its_id == weakest
    likeness = likeness_text(similarity)
    told = f"{texts.LIKENESS} {likeness}{f', {texts.LOWEST}' if is_lowest else ''}"
    return html(
        _CELL,
        id=its_id,
        open=texts.OPEN_PICTURE.format(alt=f"{row['prompt']}. {told}"),
        likeness=likeness,
        marked=Markup(' class="ps-lowest"') if is_lowest else "",
        lowest=html(" <b>▼ {text}</b>", text=texts.LOWEST) if is_lowest else "",
    )


def _foot(result: Mapping[str, Any], columns: Sequence[tuple[Any, Any]]) -> Markup:
    """The mean of each weight."""
    means = {one["weight"]: one["similarity"] for one in result.get("by_weight", ())}
    weights = list(dict.fromkeys(weight for weight, _ in columns))
    if len(weights) < 2:
        return Markup("")
    cells = [
        html(
            '<td colspan="{span}" class="ps-mean">{mean}</td>',
            span=sum(one == weight for one, _ in columns),
            mean=likeness_text(means.get(weight)),
        )
        for weight in weights
    ]
    return html(
        '<tfoot><tr><th scope="row">{title}</th>{cells}<td></td></tr></tfoot>',
        title=texts.MEAN_OF_WEIGHT,
        cells=joined(cells),
    )


def _end(result: Mapping[str, Any]) -> Markup:
    if result.get("mean") is None:
        return Markup("")
    return html(
        _END,
        mean=texts.MEAN_OF_ALL,
        value=likeness_text(result["mean"]),
        others=texts.OTHER_PEOPLE,
        help=texts.OTHER_PEOPLE_HELP,
        other=likeness_text(result.get("mean_best_other")),
    )


def _files(result: Mapping[str, Any], job: str) -> Markup:
    links = [
        html(
            _FILE,
            job=job,
            file=file,
            text=text,
        )
        for file, text in (("sheet", texts.SHEET), ("csv", texts.CSV))
    ]
    if (weight := best_weight(result)) is not None:
        links.append(
            html(
                '<button type="button" data-do="weight" data-id="{weight}">{text}</button>',
                weight=f"{weight:g}",
                text=texts.USE_WEIGHT.format(weight=f"{weight:g}"),
            )
        )
    return html('<div class="ps-row">{links}</div>', links=joined(links))
