"""Prompts from a file: one a line, or JSON lines that also say what should be read back."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..system.regular_file import read_regular
from ..system.text_encoding import decoded
from .options import EvaluationPrompt

__all__ = ["read_prompts"]

JSON_LINES = ".jsonl"
_MAX_BYTES = 16 << 20
_KEYS = {"text", "attributes"}


def read_prompts(path: str | os.PathLike[str]) -> tuple[EvaluationPrompt, ...]:
    """The prompts of a file, UTF-8 or UTF-16.

    Of a file whose name ends in .jsonl, each line is an object like
    `{"text": "a red wall", "attributes": {"background": "red"}}`, where attributes may be left
    out. Of any other file, each line is a prompt. Empty lines, and those of a plain file that
    begin with #, are left out.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not such a file; names the line.
    """
    file = Path(path)
    try:
        lines = decoded(read_regular(file, _MAX_BYTES, stream=True)).splitlines()
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    is_json = file.suffix.lower() == JSON_LINES
    prompts = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or (not is_json and line.startswith("#")):
            continue
        try:
            prompts.append(_from_json(line) if is_json else EvaluationPrompt(line))
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}") from None
    if not prompts:
        raise ValueError(f"{file} has no prompts")
    return tuple(prompts)


def _from_json(line: str) -> EvaluationPrompt:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict) or "text" not in value or not value.keys() <= _KEYS:
        raise ValueError(
            'expected an object like {"text": "...", "attributes": {"background": "red"}}'
        )
    return EvaluationPrompt(**value)
