"""The BiSeNet face parser in ONNX Runtime; see the PyTorch module `parsing`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..align import FFHQ_PX
from ..parsing_shape import WHAT_PARSING, ParsingShape, check_parsing_finite, read_parsing
from ..weights import check_tensors
from .graph import GraphBuilder
from .part import Array, NetworkPart, OnnxWeights

__all__ = ["OnnxParser", "load_onnx_parser"]

_BATCH_NORM_EPS = 1e-5


class OnnxParser:
    """The parser.

    Args:
        weights: Named as in facexlib's file.
        part: Its graph.
    """

    def __init__(self, weights: OnnxWeights, part: NetworkPart) -> None:
        self._weights = weights
        self._part = part

    def scores(self, picture: Array) -> Array:
        """Score every class at every pixel.

        Args:
            picture: (3, 512, 512), normalised with IMAGENET_MEAN and IMAGENET_STD.

        Returns:
            (19, 512, 512).
        """
        (scores,) = self._part.run(self._weights, "", picture=picture[None])
        return scores[0]

    def labels(self, picture: Array) -> NDArray[np.int64]:
        """The class of every pixel, (512, 512), of what `scores` takes."""
        labels: NDArray[np.int64] = self.scores(picture).argmax(axis=0)
        return labels


def load_onnx_parser(
    path: str | os.PathLike[str], providers: Sequence[str] = ("CPUExecutionProvider",)
) -> OnnxParser:
    """Load the parser.

    Args:
        path: See `read_parsing`.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: Not such a file.
    """
    file = Path(path)
    shape, tensors = read_parsing(file)
    part = NetworkPart(lambda graph: _Writer(graph, shape).write())
    wanted = part.wanted("")
    check_tensors(wanted, tensors, file, WHAT_PARSING)
    kept = {name: tensors[name] for name in wanted}
    check_parsing_finite(kept, file)
    return OnnxParser(OnnxWeights(kept, file, providers), part)


class _Writer:
    """Writes the graph; methods take and give values of the widths that their arguments say."""

    def __init__(self, graph: GraphBuilder, shape: ParsingShape) -> None:
        self._graph = graph
        self._shape = shape

    def write(self) -> None:
        graph, shape = self._graph, self._shape
        picture = graph.input("picture", [1, 3, FFHQ_PX, FFHQ_PX])
        at8, at16, at32 = self._resnet(picture)
        coarse = graph.op(
            "Add",
            self._refined(at32, "cp.arm32", shape.stages[3]),
            self._block(self._pooled(at32), "cp.conv_avg", shape.stages[3], shape.context, 1),
        )
        coarse = self._resized(coarse, FFHQ_PX // 16)
        coarse = self._block(coarse, "cp.conv_head32", shape.context, shape.context)
        middle = graph.op("Add", self._refined(at16, "cp.arm16", shape.stages[2]), coarse)
        middle = self._resized(middle, FFHQ_PX // 8)
        middle = self._block(middle, "cp.conv_head16", shape.context, shape.context)
        joined = graph.op("Concat", at8, middle, axis=1)
        fused = self._block(joined, "ffm.convblk", shape.stages[1] + shape.context, shape.fusion, 1)
        gate = self._conv(self._pooled(fused), "ffm.conv1", shape.fusion, shape.squeeze, 1)
        gate = self._conv(graph.op("Relu", gate), "ffm.conv2", shape.squeeze, shape.fusion, 1)
        gated = graph.op("Mul", fused, graph.op("Sigmoid", gate))
        fused = graph.op("Add", fused, gated)
        scores = self._block(fused, "conv_out.conv", shape.fusion, shape.output)
        scores = self._conv(scores, "conv_out.conv_out", shape.output, shape.labels, 1)
        graph.output(self._resized(scores, FFHQ_PX, smooth=True))

    def _resnet(self, x: str) -> tuple[str, str, str]:
        """Features at 1/8, 1/16 and 1/32."""
        graph, shape = self._graph, self._shape
        x = self._conv(x, "cp.resnet.conv1", 3, shape.stem, 7, stride=2)
        x = graph.op("Relu", self._norm(x, "cp.resnet.bn1", shape.stem))
        x = graph.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        features = []
        before = shape.stem
        for number, (width, stride) in enumerate(zip(shape.stages, (1, 2, 2, 2), strict=True), 1):
            name = f"cp.resnet.layer{number}"
            x = self._residual(x, f"{name}.0", before, width, stride)
            x = self._residual(x, f"{name}.1", width, width, 1)
            features.append(x)
            before = width
        return features[1], features[2], features[3]

    def _residual(self, x: str, name: str, inside: int, outside: int, stride: int) -> str:
        graph = self._graph
        inner = self._conv(x, f"{name}.conv1", inside, outside, 3, stride)
        inner = graph.op("Relu", self._norm(inner, f"{name}.bn1", outside))
        inner = self._conv(inner, f"{name}.conv2", outside, outside, 3)
        inner = self._norm(inner, f"{name}.bn2", outside)
        if stride != 1 or inside != outside:
            x = self._conv(x, f"{name}.downsample.0", inside, outside, 1, stride)
            x = self._norm(x, f"{name}.downsample.1", outside)
        return graph.op("Relu", graph.op("Add", x, inner))

    def _refined(self, x: str, name: str, inside: int) -> str:
        width = self._shape.context
        x = self._block(x, f"{name}.conv", inside, width)
        gate = self._conv(self._pooled(x), f"{name}.conv_atten", width, width, 1)
        gate = self._graph.op("Sigmoid", self._norm(gate, f"{name}.bn_atten", width))
        return self._graph.op("Mul", x, gate)

    def _block(self, x: str, name: str, inside: int, outside: int, size: int = 3) -> str:
        x = self._conv(x, f"{name}.conv", inside, outside, size)
        return self._graph.op("Relu", self._norm(x, f"{name}.bn", outside))

    def _conv(
        self, x: str, name: str, inside: int, outside: int, size: int, stride: int = 1
    ) -> str:
        weight = self._graph.weight(f"{name}.weight", outside, inside, size, size)
        pads: list[Any] = [size // 2] * 4
        return self._graph.op("Conv", x, weight, strides=[stride, stride], pads=pads)

    def _norm(self, x: str, name: str, width: int) -> str:
        parts = ("weight", "bias", "running_mean", "running_var")
        values = [self._graph.weight(f"{name}.{part}", width) for part in parts]
        return self._graph.op("BatchNormalization", x, *values, epsilon=_BATCH_NORM_EPS)

    def _pooled(self, x: str) -> str:
        return self._graph.op("GlobalAveragePool", x)

    def _resized(self, x: str, side_px: int, smooth: bool = False) -> str:
        """As PyTorch's `interpolate`: nearest, or bilinear from corner to corner."""
        sizes = np.array([1, self._shape.labels if smooth else self._shape.context] + [side_px] * 2)
        how: dict[str, str] = (
            {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
            if smooth
            else {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
        )
        if not smooth:
            how["nearest_mode"] = "floor"
        return self._graph.op("Resize", x, "", "", self._graph.constant(sizes), **how)
