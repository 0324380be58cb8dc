"""What the BiSeNet face parser tells apart, its sizes, and its tensors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from .weights import read_weights, shape_of

__all__ = [
    "BACKGROUND_LABELS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LUMA",
    "N_LABELS",
    "WHAT_PARSING",
    "ParsingShape",
    "check_parsing_finite",
    "read_parsing",
]

N_LABELS = 19
BACKGROUND_LABELS = (0, 7, 8, 9, 14, 15, 16, 18)
"""Background, ears, earring, neck, necklace, cloth, hat: whitened. Skin, brows, eyes, glasses,
nose, mouth, lips and hair are kept (PuLID pipeline_flux.py, `bg_label`)."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B (ITU-R BT.601)."""

WHAT_PARSING = "BiSeNet face parser"


@dataclass(frozen=True)
class ParsingShape:
    """Channel widths, the published ones in brackets.

    Args:
        stem: First convolution (64).
        stages: The four stages of the ResNet (64, 128, 256, 512).
        context: Attention refinement and heads of the context path (128).
        fusion: Feature fusion (256).
        squeeze: Inside the attention of the fusion (64).
        output: Last convolution but one (256).
        labels: Classes (19).
    """

    stem: int
    stages: tuple[int, int, int, int]
    context: int
    fusion: int
    squeeze: int
    output: int
    labels: int


def read_parsing(path: str | os.PathLike[str]) -> tuple[ParsingShape, dict[str, StoredTensor]]:
    """Read the parser's tensors.

    Args:
        path: `parsing_bisenet.pth`, or a `.safetensors` of it.

    Raises:
        ModelFileError: Not such a file.
    """
    file = Path(path)
    tensors = read_weights(file)
    return _shape_of(tensors, file), tensors


def check_parsing_finite(tensors: Mapping[str, StoredTensor], path: Path) -> None:
    """Refuse NaN and infinity among the weights, named as published.

    They would make every pixel class 0, which no later step could tell from a verdict.

    Raises:
        ModelFileError: There are such numbers.
    """
    if not all(np.isfinite(tensor.float32().sum()) for tensor in tensors.values()):
        raise ModelFileError(
            f"{path}: the weights of the {WHAT_PARSING} have numbers that are not finite; the file "
            "is damaged: download it again"
        )


def _shape_of(tensors: Mapping[str, StoredTensor], file: Path) -> ParsingShape:
    def rows(name: str) -> int:
        return shape_of(tensors, file, WHAT_PARSING, f"{name}.weight", 4)[0]

    resnet = "cp.resnet."
    shape = ParsingShape(
        stem=rows(f"{resnet}conv1"),
        stages=(
            rows(f"{resnet}layer1.0.conv1"),
            rows(f"{resnet}layer2.0.conv1"),
            rows(f"{resnet}layer3.0.conv1"),
            rows(f"{resnet}layer4.0.conv1"),
        ),
        context=rows("cp.arm16.conv.conv"),
        fusion=rows("ffm.convblk.conv"),
        squeeze=rows("ffm.conv1"),
        output=rows("conv_out.conv.conv"),
        labels=rows("conv_out.conv_out"),
    )
    if shape.labels != N_LABELS:
        raise ModelFileError(
            f"{file}: expected the {WHAT_PARSING} with {N_LABELS} classes, found {shape.labels}"
        )
    return shape
