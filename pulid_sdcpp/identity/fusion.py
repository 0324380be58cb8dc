"""How several photos of one person become one identity."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast

from ..terminal_text import shown

__all__ = ["FUSIONS", "Fusion", "check_fusion"]

Fusion: TypeAlias = Literal["idformer", "mean"]
"""idformer: PuLID's encoder reads all photos at once. mean: of the photos' own identities."""

FUSIONS = ("idformer", "mean")


def check_fusion(fusion: object) -> Fusion:
    """The same, when it is one.

    Raises:
        ValueError: It is none.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"fusion {shown(fusion)}: expected {' or '.join(FUSIONS)}")
    return cast(Fusion, fusion)
