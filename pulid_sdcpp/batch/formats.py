"""The three formats of a file of jobs, read as tables; what is in them is checked elsewhere."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BatchFileError
from ..system.regular_file import read_regular
from ..system.text_encoding import decoded
from ..system.toml_text import parse_toml
from ..terminal_text import reason_of

__all__ = ["read_csv", "read_json_lines", "read_toml"]

_MAX_BYTES = 64 << 20


def read_toml(path: Path) -> dict[str, Any]:
    """The whole document.

    Raises:
        BatchFileError: It cannot be read, or is no TOML; names the line.
    """
    text = _text(path)
    try:
        return parse_toml(text)
    except ValueError as error:
        raise BatchFileError(f"{path}: not TOML: {error}") from None


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The object of each line that is not empty, with the line's number.

    Raises:
        BatchFileError: It cannot be read, or a line is no object; names the line.
    """
    # Not splitlines: JSON's strings may have other line breaks in them.
    for number, line in enumerate(_text(path).split("\n"), 1):
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


def read_csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The cells of each row that are not empty, by the first row's names, with the line's number.

    Raises:
        BatchFileError: It cannot be read, or is no CSV with commas; names the line.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
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
                f"{path}, line {reader.line_num}: {len(row)} cells in {len(header)} columns; put "
                'text with a comma in it in quotes: "..."'
            )
        yield reader.line_num, {name: cell for name, cell in zip(header, row, strict=False) if cell}


def _text(path: Path) -> str:
    try:
        content = read_regular(path, _MAX_BYTES, stream=True)
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
