"""The options of `generate` that say whose face; how it is used is in the options dataclasses."""

from __future__ import annotations

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
]  # fmt: skip
