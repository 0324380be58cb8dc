"""The pictures of one `generate`: where each goes, and that none is lost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...pictures.formats import holding_suffix
from ...pictures.names import fill_in, numbered_paths
from ...system.atomic_file import check_writable
from ...system.output_names import check_is_no_input
from ...terminal_text import control_character
from ..progress.interrupt import Interrupted
from .output_request import OutputRequest

if TYPE_CHECKING:
    from ...pictures.result import Result
    from ...request.generate_request import GenerateRequest
    from ...request.wildcards import WrittenPrompts
    from ..progress.progress import Progress

__all__ = ["OutputFiles"]

_LONGEST_PARAMETERS = 4000  # characters of a picture's text, beside its prompts


class OutputFiles:
    """Saves pictures in order, each under its own name.

    Args:
        output: Where they go.
        request: What they are.
        inputs: Files that are read: none of them is replaced, whatever is said.
        progress: Told of each file.

    Raises:
        ValueError: A name that cannot be or is an input's, or a picture format that is not offered.
        OutputFileError: A place that cannot be written.
    """

    def __init__(
        self,
        output: OutputRequest,
        request: GenerateRequest,
        inputs: Sequence[Path],
        progress: Progress,
    ) -> None:
        generation, people = request.generation, request.people
        self._overwrite = output.overwrite
        self._with_text = output.with_text
        self._quality = output.quality
        self._progress = progress
        self._saved: list[Path] = []
        shared = {
            "date": time.strftime("%Y-%m-%d"),
            "time": time.strftime("%H-%M-%S"),
            "person": "+".join(one.name for one in people) or "nobody",
            "preset": request.preset or "no-preset",
            "weight": "+".join(f"{one.weight:g}" for one in people) or "0",
        }
        first, seeds = output.first_index, generation.seeds
        names = numbered_paths(output.template, len(seeds), first, output.suffix)
        self._paths = [
            fill_in(
                path, {**shared, "index": first + index, "seed": seed, "prompt": written.prompt}
            )
            for index, (path, seed, written) in enumerate(
                zip(names, seeds, request.written, strict=True)
            )
        ]
        self._check(request.written, inputs)

    @property
    def paths(self) -> list[Path]:
        """The names of the pictures; another is taken where a file is in the way."""
        return list(self._paths)

    def save(self, result: Result) -> None:
        """Save the next picture.

        Raises:
            OutputFileError: It cannot be written.
        """
        from ...pictures.png_text import save_new_picture

        path, overwrite = self._paths[len(self._saved)], self._overwrite
        # An upscaling model may make it too large for the format, and nobody shall lose it.
        if (suffix := holding_suffix(path.suffix, result.image.size)) != path.suffix:
            self._progress.warning(f"{path} would be too large for its format, so it is a PNG")
            path, overwrite = path.with_suffix(suffix), False  # that name was not given
        text = result.text if self._with_text else ""
        saved = save_new_picture(
            result.image, path, text, overwrite=overwrite, quality=self._quality
        )
        self._saved.append(saved)
        if saved != path:
            self._progress.warning(f"{path} exists, so this picture is saved as {saved.name}")
        self._progress.saved(
            str(saved),
            result.seed,
            {
                "prompt": result.metadata.prompt,
                "negative_prompt": result.metadata.negative_prompt,
                "parameters": dict(result.metadata.values),
            },
        )

    def interrupted(self) -> Interrupted:
        """What to say after Ctrl-C."""
        count = len(self._paths)
        pictures = "1 picture is" if count == 1 else f"{count} pictures are"
        return Interrupted(
            f"interrupted; {len(self._saved)} of {pictures} finished and saved"
            if self._saved
            else "interrupted; nothing was left half-written"
        )

    def _check(self, prompts: Iterable[WrittenPrompts], inputs: Sequence[Path]) -> None:
        from ...pictures.png_text import PictureText, check_picture_path, format_text

        values = {"Steps": "0", "Seed": "0", "Model": "x" * _LONGEST_PARAMETERS}
        for path, one in zip(self._paths, prompts, strict=True):
            entries = {**values, **one.templates}  # which are in the text, too
            text = format_text(PictureText(one.prompt, one.negative_prompt, entries))
            check_picture_path(path, text if self._with_text else "")
            folder = path.parent
            if character := control_character(str(folder)):
                raise ValueError(f"the output has the control character {character} in its name")
            while not folder.exists() and folder != folder.parent:  # it will be made
                folder = folder.parent
            check_writable(folder / path.name)
            if self._overwrite:
                check_is_no_input(path, inputs)
