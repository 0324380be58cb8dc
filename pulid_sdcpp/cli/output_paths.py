"""Where the pictures of a batch go, numbered as sd-cli numbers them."""

from __future__ import annotations

import re
from pathlib import Path

from ..png_text import PICTURE_SUFFIXES

__all__ = ["output_paths"]

_NUMBER = re.compile(r"((?:[^%]|^)(?:%%)*)%(\d{0,3})d")


def output_paths(output: Path, count: int, first: int = 0) -> list[Path]:
    """The files for `count` pictures.

    `out.png` is that file for one picture and out_0.png, out_1.png, ... for several;
    `out_%03d.png` is out_000.png, ... (`%%` for a percent sign); no suffix means .png.

    Source: stable-diffusion.cpp, examples/cli/main.cpp, save_results.
    """
    if output.suffix == "":
        output = output.with_name(output.name + PICTURE_SUFFIXES[0])
    if _NUMBER.search(str(output)):
        return [_numbered(str(output), first + index) for index in range(count)]
    if count == 1:
        return [output]
    return [output.with_stem(f"{output.stem}_{first + index}") for index in range(count)]


def _numbered(pattern: str, number: int) -> Path:
    def fill(match: re.Match[str]) -> str:
        return match[1] + f"%{match[2]}d" % number

    return Path(_NUMBER.sub(fill, pattern).replace("%%", "%"))
