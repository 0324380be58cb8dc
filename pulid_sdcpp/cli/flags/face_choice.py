"""The value of `--face`, wherever a photo is given."""

from __future__ import annotations

from typing import Any

import click

from ...identity.face_choice import FaceChoice, check_face_choice, parse_face_choice

__all__ = ["FaceChoiceType"]


class FaceChoiceType(click.ParamType):
    """`largest`, `left`, `right`, `center`, a number, or a box `x,y,w,h`; gives a FaceChoice."""

    name = "WHICH"

    def convert(self, value: Any, param: Any, ctx: Any) -> FaceChoice:
        try:
            return parse_face_choice(value) if isinstance(value, str) else check_face_choice(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
