"""Where the pictures of one `generate` go, and what is in them beside pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["OutputRequest"]


@dataclass(frozen=True)
class OutputRequest:
    """What the flags of the output say.

    Attributes:
        template: The picture's path, with {seed} and the like in it.
        first_index: The number of the first of several.
        overwrite: Replace files that are there.
        with_text: Write the parameters into the pictures.
        preview: A file that shows the unfinished picture; None: none does.
        preview_method, preview_interval: As those of `PulidFlux.generate`.
    """

    template: Path
    first_index: int
    overwrite: bool
    with_text: bool
    preview: Path | None
    preview_method: str
    preview_interval: int

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> OutputRequest:
        """Of a command's values, which have the flags' defaults."""
        return cls(
            template=values["output"],
            first_index=values["output_begin_idx"],
            overwrite=values["overwrite"],
            with_text=not values["disable_image_metadata"],
            preview=values["preview"],
            preview_method=values["preview_method"],
            preview_interval=values["preview_interval"],
        )
