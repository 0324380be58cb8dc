"""Write pulid_sdcpp/options/keywords.py from the dataclasses of options; a test compares the two.

python docs/generate_option_keywords.py
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pulid_sdcpp import ContextOptions, GenerationOptions

__all__ = ["OUTPUT", "render"]

OUTPUT = Path(__file__).parents[1] / "pulid_sdcpp" / "options" / "keywords.py"
CLASSES = {
    "ContextKeywords": (ContextOptions, frozenset[str](), "how a model is loaded"),
    # What is given otherwise: the prompt by itself, and one picture at a time.
    "GenerationKeywords": (
        GenerationOptions,
        frozenset({"prompt", "batch_count"}),
        "how a picture is made",
    ),
}
HEAD = '''\
"""The options as keyword arguments, so that a type checker knows each by name and type.

Written by `docs/generate_option_keywords.py` from the dataclasses, which say what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, TypedDict

from .checks import FilePath

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ContextKeywords", "GenerationKeywords"]
'''


def render() -> str:
    """The module, as Python."""
    parts = [HEAD]
    for name, (options, without, what) in CLASSES.items():
        parts.append(f"\nclass {name}(TypedDict, total=False):")
        parts.append(f'    """Fields of `{options.__name__}`: {what}."""\n')
        for field in dataclasses.fields(options):
            if field.name not in without:
                parts.append(f"    {field.name}: {field.type}")
        parts.append("")
    return "\n".join(parts)


def main() -> None:
    """Write it, if anything has changed."""
    text = render()
    if not OUTPUT.exists() or OUTPUT.read_text(encoding="utf-8") != text:
        OUTPUT.write_text(text, encoding="utf-8")
        print(f"wrote {OUTPUT}")


if __name__ == "__main__":
    main()
