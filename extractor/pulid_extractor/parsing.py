"""BiSeNet face parsing: which pixels of an aligned face are the face, and what PuLID keeps.

Source: BiSeNet (Yu et al. 2018) with a ResNet-18 context path and no spatial path, as in
facexlib's `BiSeNet` (weights `parsing_bisenet.pth`, 19 classes of CelebAMask-HQ). Channel widths
are read from the weights. The two auxiliary outputs, used in training only, are left out.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .checkpoint import fill
from .parsing_shape import (
    BACKGROUND_LABELS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    LUMA,
    WHAT_PARSING,
    ParsingShape,
    check_parsing_finite,
    read_parsing,
)

__all__ = ["BiSeNet", "face_labels", "face_only", "load_parsing"]


def _conv(inside: int, outside: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, size, stride, padding=size // 2, bias=False)


class _ConvNormRelu(nn.Module):
    def __init__(self, inside: int, outside: int, size: int = 3) -> None:
        super().__init__()
        self.conv = _conv(inside, outside, size)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Residual(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(inside, outside, 3, stride)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = _conv(outside, outside, 3)
        self.bn2 = nn.BatchNorm2d(outside)
        self.downsample = (
            nn.Sequential(_conv(inside, outside, 1, stride), nn.BatchNorm2d(outside))
            if stride != 1 or inside != outside
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.downsample(x) + self.bn2(self.conv2(inner)))


class _ResNet18(nn.Module):
    def __init__(self, stem: int, stages: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = _conv(3, stem, 7, 2)
        self.bn1 = nn.BatchNorm2d(stem)
        before = stem
        for number, (width, stride) in enumerate(zip(stages, (1, 2, 2, 2), strict=True), 1):
            stage = nn.Sequential(_Residual(before, width, stride), _Residual(width, width, 1))
            self.add_module(f"layer{number}", stage)
            before = width

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features at 1/8, 1/16 and 1/32."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        features = []
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
            features.append(x)
        return features[1:]


class _AttentionRefinement(nn.Module):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = _ConvNormRelu(inside, outside)
        self.conv_atten = _conv(outside, outside, 1)
        self.bn_atten = nn.BatchNorm2d(outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        gate = self.bn_atten(self.conv_atten(_pooled(x)))
        return x * gate.sigmoid()


class _ContextPath(nn.Module):
    def __init__(self, shape: ParsingShape) -> None:
        super().__init__()
        self.resnet = _ResNet18(shape.stem, shape.stages)
        self.arm16 = _AttentionRefinement(shape.stages[2], shape.context)
        self.arm32 = _AttentionRefinement(shape.stages[3], shape.context)
        self.conv_head32 = _ConvNormRelu(shape.context, shape.context)
        self.conv_head16 = _ConvNormRelu(shape.context, shape.context)
        self.conv_avg = _ConvNormRelu(shape.stages[3], shape.context, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The detail and the context features, both at 1/8."""
        at8, at16, at32 = self.resnet(x)
        coarse = self.arm32(at32) + self.conv_avg(_pooled(at32))
        coarse = self.conv_head32(F.interpolate(coarse, at16.shape[2:], mode="nearest"))
        middle = self.arm16(at16) + coarse
        return at8, self.conv_head16(F.interpolate(middle, at8.shape[2:], mode="nearest"))


class _Fusion(nn.Module):
    def __init__(self, inside: int, shape: ParsingShape) -> None:
        super().__init__()
        self.convblk = _ConvNormRelu(inside, shape.fusion, 1)
        self.conv1 = _conv(shape.fusion, shape.squeeze, 1)
        self.conv2 = _conv(shape.squeeze, shape.fusion, 1)

    def forward(self, detail: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = self.convblk(torch.cat([detail, context], dim=1))
        gate = self.conv2(F.relu(self.conv1(_pooled(x))))
        return x + x * gate.sigmoid()


class _Output(nn.Module):
    def __init__(self, inside: int, middle: int, labels: int) -> None:
        super().__init__()
        self.conv = _ConvNormRelu(inside, middle)
        self.conv_out = _conv(middle, labels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """The parser. Parameters are named as in facexlib's weights."""

    def __init__(self, shape: ParsingShape) -> None:
        super().__init__()
        self.shape = shape
        self.cp = _ContextPath(shape)
        self.ffm = _Fusion(shape.stages[1] + shape.context, shape)
        self.conv_out = _Output(shape.fusion, shape.output, shape.labels)

    @torch.inference_mode()
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Score every class at every pixel.

        Args:
            pictures: (n, 3, H, W) float32, normalised with IMAGENET_MEAN and IMAGENET_STD.

        Returns:
            (n, labels, H, W) float32.
        """
        scores = self.conv_out(self.ffm(*self.cp(pictures)))
        return F.interpolate(scores, pictures.shape[2:], mode="bilinear", align_corners=True)


def face_only(face: torch.Tensor, parser: BiSeNet) -> torch.Tensor:
    """The face in grey on white, as PuLID's vision tower sees it.

    Args:
        face: (n, 3, H, W) float32 RGB in 0..1, aligned crops.
        parser: The face parser.

    Returns:
        Like `face`: luma in all three channels where the class is kept, 1 elsewhere.

    Source: PuLID pipeline_flux.py `get_id_embedding`, `to_gray`.
    """
    labels = face_labels(face, parser)[:, None]
    background = torch.isin(labels, torch.tensor(BACKGROUND_LABELS, device=labels.device))
    luma = face.new_tensor(LUMA).view(1, 3, 1, 1)
    grey = (face * luma).sum(dim=1, keepdim=True).expand_as(face)
    return torch.where(background, torch.ones_like(face), grey)


def face_labels(face: torch.Tensor, parser: BiSeNet) -> torch.Tensor:
    """The class of every pixel.

    Args:
        face: (n, 3, H, W) float32 RGB in 0..1, aligned crops.
        parser: The face parser.

    Returns:
        (n, H, W) int64, 0 to N_LABELS - 1.
    """
    mean, std = (
        face.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return parser((face - mean) / std).argmax(dim=1)


def load_parsing(path: str | os.PathLike[str], *, device: torch.device) -> BiSeNet:
    """Load the parser; it always computes in float32, being small.

    Args:
        path: `parsing_bisenet.pth`, or a `.safetensors` of it.
        device: Where to compute.

    Raises:
        ModelFileError: Not such a file.
    """
    file = Path(path)
    shape, tensors = read_parsing(file)
    with torch.device("meta"):
        network = BiSeNet(shape)
    fill(network, tensors, file, WHAT_PARSING)
    check_parsing_finite({name: tensors[name] for name in network.state_dict()}, file)
    # Unlike `place`: batch norm in mixed types is not worth its care for 53 MB.
    network.to(device=device, dtype=torch.float32)
    return network


def _pooled(x: torch.Tensor) -> torch.Tensor:
    return x.mean(dim=(2, 3), keepdim=True)
