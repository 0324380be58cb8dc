"""The options of `generate` that say whose face; how it is used is in the options dataclasses."""

from __future__ import annotations

from .completions import complete_person_or_file
from .table import grouped_option

__all__ = ["PERSON_OPTIONS"]

_HEADING = "Identity"

PERSON_OPTIONS = [
    grouped_option("portraits", "--portrait", heading=_HEADING, multiple=True, metavar="PHOTO|NAME",
                   shell_complete=complete_person_or_file,
                   help="Photo of the person, a folder of photos, an identity file, or the name of "
                        "somebody kept with 'pulid-sdcpp people add'; may be repeated with more "
                        "photos of the same person."),
    grouped_option("persons", "--person", heading=_HEADING, multiple=True, metavar="SPEC",
                   shell_complete=complete_person_or_file,
                   help="One of several people: what --portrait takes, optionally followed by "
                        ":face=1, :weight=0.9, :start=4, :end=80%, :mask=left.png or "
                        ":box=0,0,0.5,1 (x, y, width, height); may be repeated."),
]  # fmt: skip
