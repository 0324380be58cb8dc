"""The options of `generate` that say whose face, how strongly, when and where."""

from __future__ import annotations

from typing import Any

import click

from ...identity.fusion import FUSIONS
from ...options.context import PULID_DTYPES, ContextOptions
from ...people.identity_options import IdentityOptions
from .face_choice import FaceChoiceType
from .table import FILE_PATH, dataclass_option, grouped_option
from .types import StepPointType

__all__ = ["PERSON_OPTIONS"]

_HEADING = "Identity"


def _identity(field: str, *flags: str, help: str, **kwargs: Any) -> Any:
    return dataclass_option(IdentityOptions, field, *flags, heading=_HEADING, help=help, **kwargs)


def _context(field: str, *flags: str, help: str, **kwargs: Any) -> Any:
    return dataclass_option(ContextOptions, field, *flags, heading=_HEADING, help=help, **kwargs)


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
    _context("pulid_weights", "--pulid-weights", type=FILE_PATH,
             help="PuLID-Flux weights (pulid_flux_v0.9.1.safetensors)."),
    _context("pulid_dtype", "--pulid-dtype", type=click.Choice(PULID_DTYPES),
             metavar="|".join(PULID_DTYPES),
             help="How an identity is kept: beside Flux, f16 takes 126 MB and q8_0 67 MB."),
    _identity("embedding", "--pulid-id-embedding", type=FILE_PATH,
              help="Whose face: sd-cli's way to name an identity file."),
    _identity("weight", "--pulid-id-weight", "--id-weight",
              help="How strongly, 0 to 5; 0.7 to 1.2 is usual."),
    _identity("start_step", "--id-start-step", type=StepPointType(),
              help="First step with the identity, or a part of the steps (0.2, 20%); 0 or 1 is "
                   "stylised, 20% (4 of 20) photographic."),
    _identity("end_step", "--id-end-step", type=StepPointType(),
              help="First step without it again; not given: it stays to the end."),
    _identity("cfg_start_step", "--cfg-start-step", type=int,
              help="First step with true CFG, when --cfg-scale is not 1."),
]  # fmt: skip
