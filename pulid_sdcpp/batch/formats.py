"""The three formats of a file of jobs, read as tables; what is in them is checked elsewhere."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BatchFileError
from ..system.regular_file import read_regular
from ..system.text_encoding import decoded
from ..system.toml_text import parse_toml
from ..terminal_text import counted, reason_of

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "format_of",
    "read_csv",
    "read_json_lines",
    "read_text",
    "read_toml",
]

FORMATS = (".csv", ".jsonl", ".toml")
MAX_BYTES = 64 << 20
_CSV_HEADER = re.compile(r"\s*[\w\" ]+(,[\w\" ]*)*\s*", re.ASCII)


def format_of(text: str) -> str:
    """Which format a text without a file's name has: ".csv", ".jsonl" or ".toml".

    JSON lines begin with a {, and a table with a line of columns, one of which is the prompt.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first.lstrip().startswith("{"):
        return ".jsonl"
    columns = [column.strip().strip('"') for column in first.split(",")]
    return ".csv" if _CSV_HEADER.fullmatch(first) and "prompt" in columns else ".toml"


def read_toml(text: str, path: Path) -> dict[str, Any]:
    """The whole document.

    Args:
        text: It.
        path: Its name, for errors; so of the others, too.

    Raises:
        BatchFileError: It is no TOML; names the line.
    """
    try:
        return parse_toml(text)
    except ValueError as error:
        raise BatchFileError(f"{path}: not TOML: {error}") from None


def read_json_lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The object of each line that is not empty, with the line's number.

    Raises:
        BatchFileError: A line is no object; names the line.
    """
    # Not splitlines: JSON's strings may have other line breaks in them.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line, object_pairs_hook=_object, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise BatchFileError(f"{path}, line {number}: not JSON: {_reason(error)}") from None
        if not isinstance(found, dict):
            raise BatchFileError(
                f'{path}, line {number}: expected an object like {{"person": "alice.jpg", '
                '"prompt": "..."}'
            )
        yield number, found


def read_csv(text: str, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The cells of each row that are not empty, by the first row's names, with the line's number.

    Raises:
        BatchFileError: It is no CSV with commas; names the line.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    while True:
        try:
            row = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise BatchFileError(f"{path}, line {reader.line_num}: not CSV: {error}") from None
        if not any(row):
            continue
        if not header:
            header = row
            if len(set(header)) < len(header):
                raise BatchFileError(f"{path}, line {reader.line_num}: a column name occurs twice")
            continue
        if len(row) > len(header):
            raise BatchFileError(
                f"{path}, line {reader.line_num}: {counted(len(row), 'cell')} in "
                f"{counted(len(header), 'column')}; put "
                'text with a comma in it in quotes: "..."'
            )
        yield reader.line_num, {name: cell for name, cell in zip(header, row, strict=False) if cell}


def read_text(path: Path, content: bytes | None = None) -> str:
    """What is in a file of jobs.

    Args:
        path: The file.
        content: What is in it, where that was read already.

    Raises:
        BatchFileError: It cannot be read, or is no text.
    """
    try:
        if content is None:
            content = read_regular(path, MAX_BYTES, stream=True)
    except OSError as error:
        raise BatchFileError(f"cannot read {path}: {reason_of(error)}") from None
    except ValueError as error:  # a name that no file can have
        raise BatchFileError(f"cannot read {str(path)!r}: {error}") from None
    try:
        return decoded(content).replace("\r\n", "\n")
    except ValueError as error:
        raise BatchFileError(f"{path}: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is given twice")
    return found


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _reason(error: Exception) -> str:
    return "too deeply nested" if isinstance(error, RecursionError) else str(error)[:200]
