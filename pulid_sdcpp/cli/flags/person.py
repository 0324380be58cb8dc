"""The options of `generate` that say whose face, beside those of the options dataclasses."""

from __future__ import annotations

import click

from ...identity.fusion import FUSIONS
from .face_choice import FaceChoiceType
from .table import FILE_PATH, grouped_option

__all__ = ["PERSON_OPTIONS"]

_HEADING = "Identity"


PERSON_OPTIONS = [
    grouped_option("portraits", "--portrait", heading=_HEADING, type=FILE_PATH, multiple=True,
                   help="Whose face: a photo, or a file that 'pulid-sdcpp extract' wrote. May be "
                        "repeated with more photos of the same person."),
    grouped_option("persons", "--person", heading=_HEADING, multiple=True, metavar="SPEC",
                   help="One of several people: a photo or identity file, then :weight=0.9, "
                        ":start=4, :end=80%, :mask=left.png or :box=0,0,0.5,1 as wanted. May be "
                        "repeated."),
    grouped_option("face", "--face", heading=_HEADING, type=FaceChoiceType(), default="largest",
                   show_default=True, metavar="WHICH",
                   help="Which face of a photo: largest, left, right, center, a number from 0 at "
                        "the left, or a box x,y,w,h in pixels."),
    grouped_option("fusion", "--fusion", heading=_HEADING, type=click.Choice(FUSIONS),
                   default=FUSIONS[0], show_default=True, metavar="|".join(FUSIONS),
                   help="How several photos become one identity."),
]  # fmt: skip
