"""What a prompt says, as the vector that Flux is given: the pooled output of the text encoder.

One-hot codes side by side: background, expression, style, shirt, each with a place for "not
mentioned". The text encoder is trained to make them of any wording (`text_encoder`). Its last
LayerNorm fixes the length of its output: four ones among 768 numbers become 13.86.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .portraits.palette import BACKGROUNDS, SHIRTS
from .portraits.scenes import EXPRESSIONS, STYLES

__all__ = ["ATTRIBUTES", "CODE_DIM", "POOLED_DIM", "prompt_code"]

ATTRIBUTES = {
    "background": tuple(BACKGROUNDS),
    "expression": EXPRESSIONS,
    "style": STYLES,
    "shirt": tuple(SHIRTS),
}
CODE_DIM = sum(len(choices) + 1 for choices in ATTRIBUTES.values())
POOLED_DIM = 768
SCALE = (POOLED_DIM / len(ATTRIBUTES)) ** 0.5


def prompt_code(scenes: torch.Tensor) -> torch.Tensor:
    """The vectors of scenes.

    Args:
        scenes: (n, 4) integers: index of background, expression, style and shirt; the number of
            choices stands for "not mentioned".

    Returns:
        (n, 768) float32.
    """
    codes = [
        F.one_hot(scenes[:, column].long(), len(choices) + 1)
        for column, choices in enumerate(ATTRIBUTES.values())
    ]
    return SCALE * F.pad(torch.cat(codes, 1).float(), (0, POOLED_DIM - CODE_DIM))
