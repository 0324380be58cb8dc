"""The pictures of an evaluation as files, with what made them, and on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..pictures.result import Result
from .options import EvaluationOptions
from .plan import EvaluationPicture, Setting
from .report import EvaluationResult
from .scores import PictureScores

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["PICTURES_FOLDER", "PictureKeeper", "draw_sheet", "kept_name"]

PICTURES_FOLDER = "pictures"
MAX_SHEET_ROWS = 32
MAX_SHEET_COLUMNS = 8


class PictureKeeper:
    """Writes each picture into the folder `pictures` of the results.

    Args:
        folder: Of the results.
        options: What is evaluated.
    """

    def __init__(self, folder: Path, options: EvaluationOptions) -> None:
        self._folder = folder
        self._options = options

    def __call__(self, result: Result, planned: EvaluationPicture) -> str:
        """Returns the file's name, from the results' folder; another where that is taken.

        Raises:
            OutputFileError: It cannot be written.
        """
        from ..pictures.png_text import save_new_picture

        path = self._folder / kept_name(planned, self._options)
        overwrite = self._options.overwrite
        saved = save_new_picture(result.image, path, result.text, overwrite=overwrite)
        return f"{PICTURES_FOLDER}/{saved.name}"


def draw_sheet(result: EvaluationResult, options: EvaluationOptions) -> Image.Image:
    """The kept pictures of the first seed.

    The first row is nobody; then each person has a row for each setting, by weight and start step,
    with the portrait in the first of them. A column is a prompt, after the reference. Under a
    picture is its likeness, by the last of the recognisers.
    """
    from ..pictures.contact_sheet import SheetCell, contact_sheet
    from ..system.image_file import read_image

    settings = sorted(result.settings, key=lambda each: (each.start_step, each.id_weight))
    prompts = range(len(options.prompts))[:MAX_SHEET_COLUMNS]
    shown = {
        (p.planned.reference, p.planned.setting, p.planned.prompt): p
        for p in result.pictures
        if p.planned.seed == options.seeds[0]
    }

    def cell(reference: int | None, setting: Setting | None, prompt: int) -> SheetCell:
        picture = shown.get((reference, setting, prompt))
        if picture is None or picture.file is None:
            return SheetCell(None)
        return SheetCell(read_image(result.folder / picture.file), _caption(picture))

    rows = [[SheetCell(None, "nobody"), *(cell(None, None, prompt) for prompt in prompts)]]
    people = max(1, MAX_SHEET_ROWS // len(settings))
    for index, reference in enumerate(options.references[:people]):
        for setting in settings:
            first = setting == settings[0]
            name = ", ".join([reference.name, *_varied(setting, settings)])
            portrait = read_image(reference.portrait) if first else None
            person = SheetCell(portrait, name, is_place=False)
            rows.append([person, *(cell(index, setting, prompt) for prompt in prompts)])
    titles = ["reference", *(options.prompts[prompt].text for prompt in prompts)]
    return contact_sheet(rows, titles)


def _varied(setting: Setting, settings: Sequence[Setting]) -> list[str]:
    """What distinguishes a setting from the others, in words."""
    words = []
    if len({each.id_weight for each in settings}) > 1:
        words.append(f"weight {setting.id_weight:g}")
    if len({each.start_step for each in settings}) > 1:
        words.append(f"start step {setting.start_step}")
    return words


def _caption(picture: PictureScores) -> str:
    if not picture.face_found:
        return "no face"
    similarity = picture.own_similarity(list(picture.similarities)[-1])
    return "" if similarity is None else f"{similarity:.2f}"


def kept_name(planned: EvaluationPicture, options: EvaluationOptions) -> str:
    """A kept picture's, from the results' folder."""
    return f"{PICTURES_FOLDER}/{_stem(planned, options)}.png"


def _stem(planned: EvaluationPicture, options: EvaluationOptions) -> str:
    """`alice-w0.75-t0-p3-s42`, or `nobody` alone for what has no setting."""
    scene = f"p{planned.prompt}-s{planned.seed}"
    if planned.reference is None or planned.setting is None:
        return f"nobody-{scene}"
    setting = planned.setting
    name = options.references[planned.reference].name
    # Numbered: no reference's name can then be taken for nobody's pictures.
    person = f"{planned.reference:03d}-{name}"
    return f"{person}-w{setting.id_weight:g}-t{setting.start_step}-{scene}"
