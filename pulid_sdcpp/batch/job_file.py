"""Reading a file of jobs: TOML, JSON lines or CSV; everything in it is checked here.

What is said nearer to a picture goes over what is said further away:

    shared settings < the caller's < a person's < a prompt's or a job's < in a job's person

Source of the three formats: docs/batch.md.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import BatchFileError
from ..options.generation import GenerationOptions
from ..people.identity_options import check_people
from ..people.person_spec import PersonSpec
from ..pictures.formats import QUALITY, Quality, check_quality
from ..pictures.names import DEFAULT_TEMPLATE, batch_name
from ..request.wildcards import Wildcards, WrittenPrompts
from ..system.output_names import folded
from ..system.user_folders import with_home
from ..terminal_text import control_character, shown
from .fields import (
    GENERATION_FIELDS,
    SCENE_FIELDS,
    SHARED_FIELDS,
    check_known,
    escape_hint,
    field_values,
    list_of,
)
from .formats import FORMATS, format_of, read_csv, read_json_lines, read_text, read_toml
from .job import Batch, BatchJob
from .people import PeopleReader

__all__ = ["FORMATS", "read_batch"]

MAX_JOBS = 100_000

_TOP_FIELDS = (
    *SHARED_FIELDS,
    "preset",
    "output_dir",
    "quality",
    "wildcards",
    "wildcards_dirs",
    "name",
    "seed",
    "seeds",
    "weights",
    "people",
    "prompts",
    "jobs",
)
_PROMPT_FIELDS = (*SCENE_FIELDS, "name", "prompt")
_JOB_FIELDS = (*SHARED_FIELDS, "name", "prompt", "seed", "person", "people")
_MAX_MESSAGE_CHARS = 500
_RESERVED = ("contact-sheet", "summary.json")  # what is written beside the pictures


def read_batch(
    path: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any] | None = None,
    preset: str = "",
    output_dir: Path | None = None,
    quality: Quality | None = None,
    wildcards: Wildcards | None = None,
    content: bytes | None = None,
) -> Batch:
    """Read and check a file of jobs; no model is loaded.

    Args:
        path: A file whose name ends in one of FORMATS, UTF-8 or UTF-16; paths in it are relative
            to it, or begin with ~, the user's home.
        settings: Values of SHARED_FIELDS that go over the file's shared ones.
        preset, output_dir, quality: Go over the file's, when given. Without any, the pictures go
            into a folder named as the file, beside it.
        wildcards: Where `__name__` in prompts is looked for, before the folders that the file
            names; None: prompts are taken as they are.
        content: What is in the file, for one that has only a name: its format is seen from the
            text, and it must say where the pictures go if `output_dir` does not.

    Raises:
        BatchFileError: It is not such a file; names the line or table, the field and the value.
        ValueError: A value in `settings` out of range.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    text = "" if content is None else read_text(file, content)
    if content is not None:
        suffix = format_of(text)
    elif suffix in FORMATS:
        text = read_text(file)
    else:
        raise BatchFileError(
            f"{file}: expected a job file, whose name ends in {', '.join(FORMATS)}"
        )
    reader = _Reader(file, settings or {}, wildcards)
    if suffix == ".toml":
        reader.read_toml(text)
    else:
        rows = read_csv(text, file) if suffix == ".csv" else read_json_lines(text, file)
        for number, row in rows:
            reader.read_job(row, f"{file}, line {number}")
    if not reader.drafts:
        raise BatchFileError(f"{file}: there is no job in it")
    preset = preset or reader.preset
    folder = output_dir or reader.output_dir
    if folder is None and content is not None:
        raise BatchFileError(f"{file}: no folder for the pictures is named; add --output-dir")
    quality = quality or reader.quality or QUALITY
    jobs = tuple(_named(reader.drafts, preset))
    for job in jobs if quality == "lossless" else ():
        with _at(job.where):
            check_quality(quality, PurePosixPath(job.file_name).suffix)
    return Batch(
        path=file,
        jobs=jobs,
        preset=preset,
        output_dir=folder or file.with_suffix(""),
        quality=quality,
    )


@dataclass(frozen=True)
class _Draft:
    """A job, and what its file will be named by."""

    job: BatchJob
    template: str


class _Reader:
    """What has been read of one file so far."""

    def __init__(
        self, path: Path, over_shared: Mapping[str, Any], wildcards: Wildcards | None
    ) -> None:
        self._path = path
        self._folder = path.parent
        self._over_shared = field_values(over_shared, Path())
        self._shared = dict(self._over_shared)
        self._people = PeopleReader(self._folder)
        self._wildcards = wildcards
        self._template = DEFAULT_TEMPLATE
        self._seed = 42
        self.preset = ""
        self.output_dir: Path | None = None
        self.quality: Quality | None = None
        self.drafts: list[_Draft] = []

    def read_toml(self, text: str) -> None:
        document = read_toml(text, self._path)
        with _at(str(self._path)):
            check_known(document, _TOP_FIELDS)
            self._read_shared(document)
            people = _tables(document, "people", dict)
            prompts = document.get("prompts", [])
            jobs = _tables(document, "jobs", list)
        for name, table in people.items():
            with _at(f"{self._path}, [people.{name}]"):
                self._people.define(name, table)
        self._read_product(document, prompts)
        for number, table in enumerate(jobs, 1):
            self.read_job(table, f"{self._path}, [[jobs]] {number}")

    def read_job(self, given: Mapping[str, Any], where: str) -> None:
        """One explicit job: a line, a row, or a table."""
        with _at(where):
            check_known(given, _JOB_FIELDS)
            if "prompt" not in given:
                raise ValueError("prompt is missing; say what to show")
            values = field_values(
                {key: value for key, value in given.items() if key not in ("person", "people")},
                self._folder,
            )
            if "person" in given and "people" in given:
                raise ValueError("person and people are both given; leave one out")
            who = [given["person"]] if "person" in given else []
            if "people" in given:
                who = list(list_of(given["people"]))
                check_people(len(who))
            people = [self._people.read(each, self._shared, values) for each in who]
            self._add(where, values, people, seed=values.get("seed", self._seed))

    def _read_shared(self, document: Mapping[str, Any]) -> None:
        named = {key: document[key] for key in ("preset", "name", "seed") if key in document}
        own = field_values(named, self._folder)
        self.preset = own.get("preset", "")
        self._template = own.get("name", self._template)
        self._seed = own.get("seed", self._seed)
        if "output_dir" in document:
            self.output_dir = _folder("output_dir", document["output_dir"], self._folder)
        self._read_wildcards(document)
        if "quality" in document:
            check_quality(document["quality"])
            self.quality = document["quality"]
        shared = {key: document[key] for key in SHARED_FIELDS if key in document}
        self._shared = {**field_values(shared, self._folder), **self._over_shared}

    def _read_wildcards(self, document: Mapping[str, Any]) -> None:
        is_on = document.get("wildcards", True)
        if not isinstance(is_on, bool):
            raise ValueError(f"wildcards is {shown(is_on)}, but must be true or false")
        if not is_on:
            self._wildcards = None
        folders = list_of(document["wildcards_dirs"]) if "wildcards_dirs" in document else ()
        found = [_folder("wildcards_dirs", folder, self._folder) for folder in folders]
        if self._wildcards is not None:
            self._wildcards = self._wildcards.and_in(found)

    def _read_product(self, document: Mapping[str, Any], prompts: Any) -> None:
        """people x prompts x seeds x weights, in the order in which they are named."""
        with _at(f"{self._path}, seeds"):
            seeds = _seeds(document, self._seed)
        with _at(f"{self._path}, weights"):
            weights = self._weights(document)
        people: list[str | None] = [*self._people.names] or [None]
        with _at(f"{self._path}, prompts"):
            if isinstance(prompts, str):
                prompts = [prompts]
            if not isinstance(prompts, list):
                raise ValueError(f"{shown(prompts)} is not a list of prompts")
            count = len(prompts) * len(people) * len(seeds) * len(weights)
            if count > MAX_JOBS:
                raise ValueError(f"{count} pictures; at most {MAX_JOBS} are possible")
        for number, given in enumerate(prompts, 1):
            where = f"{self._path}, prompt {number}"
            with _at(where):
                table = given if isinstance(given, dict) else {"prompt": given}
                check_known(table, _PROMPT_FIELDS)
                values = field_values(table, self._folder)
                if "weights" in document and "weight" in values:
                    raise ValueError("weight is given, and weights for all; leave one out")
                prompt_name = values.pop("name", "")
                for name, weight, seed in itertools.product(people, weights, seeds):
                    scope = values if weight is None else {**values, "weight": weight}
                    who = [] if name is None else [self._people.read(name, self._shared, scope)]
                    self._add(where, scope, who, seed=seed, prompt_name=prompt_name)

    def _weights(self, document: Mapping[str, Any]) -> Sequence[float | None]:
        if "weights" not in document:
            return (None,)
        if "weight" in self._shared or self._people.have_weights:
            raise ValueError("a weight is given, too; leave one of them out")
        parts = list_of(document["weights"])
        return [field_values({"weight": part}, self._folder)["weight"] for part in parts]

    def _add(
        self,
        where: str,
        values: Mapping[str, Any],
        people: Sequence[PersonSpec],
        *,
        seed: int,
        prompt_name: str = "",
    ) -> None:
        if len(self.drafts) >= MAX_JOBS:
            raise ValueError(f"more than {MAX_JOBS} pictures; divide them among several files")
        prompt = values.get("prompt", "")
        if not prompt.strip():
            raise ValueError("prompt is empty; say what to show")
        scene = {**self._shared, **values}
        written = WrittenPrompts(prompt, scene.get("negative_prompt", ""))
        if self._wildcards is not None:
            names = [name for name in ("prompt", "negative_prompt") if name in scene]
            written = self._wildcards.write({name: scene[name] for name in names}, seed)
        if "negative_prompt" in scene:
            scene["negative_prompt"] = written.negative_prompt
        job = BatchJob(
            where=where,
            file_name="",
            prompt=written.prompt,
            prompt_name=prompt_name or prompt,
            templates=written.templates,
            seed=seed,
            people=tuple(people),
            settings={key: scene[key] for key in GENERATION_FIELDS if key in scene},
            cfg_start_step=scene.get("cfg_start_step"),
        )
        GenerationOptions(prompt=job.prompt, seed=seed, **job.settings)
        self.drafts.append(_Draft(job, values.get("name", self._template)))


def _named(drafts: Iterable[_Draft], preset: str) -> Iterator[BatchJob]:
    """The jobs with their file names, each of which must be its own."""
    places: dict[str, str] = {}
    folders: dict[str, str] = {}
    for index, draft in enumerate(drafts):
        job = draft.job
        with _at(job.where):
            name_with = partial(_name, draft, index, preset)
            name = name_with(job.weight_name)
            if folded(name).startswith(_RESERVED):
                raise ValueError(f"its picture would be {name}, which the batch itself writes")
            place = folded(name)
            above = [str(folder) for folder in PurePosixPath(place).parents[:-1]]
            if place in places:
                raise ValueError(
                    f"its picture would be {name}, as that of {places[place]}; give them "
                    "different names"
                )
            crossed = [folders.get(place), *map(places.get, above)]
            for other in filter(None, crossed):
                raise ValueError(
                    f"its picture would be {name}, where a file and a folder would have one name, "
                    f"because of that of {other}; give them different names"
                )
        where = job.where.removeprefix(f"{job.where.rpartition(', ')[0]}, ")
        places[place] = where
        folders.update(dict.fromkeys(above, where))
        yield replace(job, file_name=name, name_with=name_with)


def _name(draft: _Draft, index: int, preset: str, weight_name: str) -> str:
    job = draft.job
    return batch_name(
        draft.template,
        {
            "index": index,
            "person": job.person_name,
            "preset": preset,
            "prompt": job.prompt_name,
            "seed": job.seed,
            "weight": weight_name or "0",
        },
    )


@contextlib.contextmanager
def _at(where: str) -> Iterator[None]:
    """Say where it is what is wrong."""
    try:
        yield
    except ValueError as error:
        raise BatchFileError(f"{where}: {str(error)[:_MAX_MESSAGE_CHARS]}") from None


def _tables(document: Mapping[str, Any], name: str, kind: type) -> Any:
    """A table of tables, or a list of them."""
    tables = document.get(name, kind())
    inside = tables.values() if isinstance(tables, dict) else tables
    if not isinstance(tables, kind) or not all(isinstance(each, dict) for each in inside):
        form = "[people.NAME] tables" if kind is dict else "[[jobs]] tables"
        raise ValueError(f"{name} is {shown(tables)}, but must be {form}")
    return tables


def _seeds(document: Mapping[str, Any], seed: int) -> Sequence[int]:
    if "seeds" not in document:
        return (seed,)
    if "seed" in document:
        raise ValueError("seed and seeds are both given; leave one out")
    given = document["seeds"]
    if isinstance(given, dict):
        check_known(given, ("first", "count"))
        first, count = given.get("first", seed), given.get("count")
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_JOBS:
            raise ValueError(f"count is {shown(count)}, but must be from 1 to {MAX_JOBS}")
        first = field_values({"seed": first}, Path())["seed"]
        # The last one is checked, too.
        return range(first, field_values({"seed": first + count - 1}, Path())["seed"] + 1)
    return [field_values({"seed": each}, Path())["seed"] for each in list_of(given)]


def _folder(name: str, value: object, base: Path) -> Path:
    if not isinstance(value, str) or not value or control_character(value):
        hint = escape_hint(value) if isinstance(value, str) else ""
        raise ValueError(f"{name} is {shown(value)}, but must name a folder{hint}")
    return base / with_home(value)
