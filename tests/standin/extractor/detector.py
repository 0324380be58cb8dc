"""A small face detector with the inputs and outputs of `scrfd_10g_bnkps.onnx`.

A network of 15,000 parameters, fitted by `fit_detector.py` on seven faces
(scikit-image's astronaut and insightface's t1.jpg) and a hundred 25-pixel ones, sees the grey
photo halved once, twice and thrice, for the strides 8, 16 and 32. It finds those faces, also
mirrored, in grey, brighter, smaller or slightly turned, and keeps quiet on other pictures it has
seen. That serves tests; for photos of one's own it is a toy.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulid_extractor.dependencies import require_module

__all__ = ["detector_model"]

STRIDES_PX = (8, 16, 32)
LUMA_RGB = (0.299, 0.587, 0.114)
FEATURES = {"score": 1, "bbox": 4, "kps": 10}
"""Numbers per anchor, in the order of the outputs."""
OUTPUTS = {
    "score": ("448", "471", "494"),
    "bbox": ("451", "474", "497"),
    "kps": ("454", "477", "500"),
}
"""Names in the published file, for each stride."""
BACKBONE = (("conv1", 2, 1), ("conv2", 2, 1), ("conv3", 1, 1), ("conv4", 1, 2), ("conv5", 1, 1))
"""Convolution, stride, dilation."""


def detector_model() -> bytes:
    """The model, serialised: input (1, 3, H, W) RGB, (x - 127.5) / 128; nine outputs.

    Each output is (H / s * W / s * 2, k) for its stride s: scores, then distances to the box's
    edges, then offsets of five landmarks, both in strides from the anchor's point (s * column,
    s * row). The second of the two anchors of a point never fires.

    Raises:
        MissingDependencyError: The package onnx is not installed.
    """
    onnx = require_module("onnx")
    helper = onnx.helper
    filters = _filters()
    nodes: list[Any] = []
    constants: dict[str, NDArray[Any]] = {
        "luma": np.array(LUMA_RGB, np.float32).reshape(1, 3, 1, 1)
    }
    for name, value in filters.items():
        constants[name] = value

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    picture = node("Conv", ["input.1", "luma"], "grey", kernel_shape=[1, 1])
    for level, stride_px in enumerate(STRIDES_PX, 1):
        picture = node(
            "AveragePool", [picture], f"half{level}", kernel_shape=[2, 2], strides=[2, 2]
        )
        x = picture
        for name, stride, dilation in BACKBONE:
            x = node(
                "Conv",
                [x, f"{name}.weight", f"{name}.bias"],
                f"{name}_{level}",
                kernel_shape=[3, 3],
                strides=[stride, stride],
                dilations=[dilation, dilation],
                pads=[dilation] * 4,
            )
            x = node("Relu", [x], f"relu_{name}_{level}")
        constants[f"head_bias{level}"] = _head_bias(filters["head.bias"], stride_px)
        head = ["head.weight", f"head_bias{level}"]
        x = node("Conv", [x, *head], f"head_{level}", kernel_shape=[1, 1])
        x = node("Transpose", [x], f"cells_{level}", perm=[0, 2, 3, 1])
        start = 0
        for feature, width in FEATURES.items():
            for key, edge in (("start", start), ("end", start + width)):
                constants[f"{feature}_{key}"] = np.array([edge], np.int64)
            ends = [f"{feature}_start", f"{feature}_end", "channel_axis"]
            part = node("Slice", [x, *ends], f"{feature}_{level}_part")
            if feature == "score":
                part = node("Sigmoid", [part], f"{feature}_{level}_chance")
                constants["second_score"] = np.array([1.0, 0.0], np.float32)
                part = node("Mul", [part, "second_score"], f"{feature}_{level}_pair")
            else:
                part = node("Concat", [part, part], f"{feature}_{level}_pair", axis=3)
            constants[f"{feature}_rows"] = np.array([-1, width], np.int64)
            output = OUTPUTS[feature][level - 1]
            node("Reshape", [part, f"{feature}_rows"], output)
            start += width
    constants["channel_axis"] = np.array([3], np.int64)
    floats = onnx.TensorProto.FLOAT
    outputs = [
        helper.make_tensor_value_info(name, floats, [f"anchors{stride_px}", width])
        for feature, width in FEATURES.items()
        for name, stride_px in zip(OUTPUTS[feature], STRIDES_PX, strict=True)
    ]
    graph = helper.make_graph(
        nodes,
        "standin_scrfd",
        [helper.make_tensor_value_info("input.1", floats, [1, 3, "height", "width"])],
        outputs,
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    return bytes(model.SerializeToString())


def _filters() -> dict[str, NDArray[np.float32]]:
    source = resources.files(__package__).joinpath("detector.npz")
    with source.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name].astype(np.float32) for name in archive.files}


def _head_bias(fitted: NDArray[np.float32], stride_px: int) -> NDArray[np.float32]:
    """The head's bias with the shift that halving brings.

    Pixel j of a picture halved to 1/f stands at f * j + (f - 1) / 2 of the photo, while SCRFD's
    anchors are counted from s * j, s = 4 f: everything lies (f - 1) / 2 / s strides further.
    """
    factor = stride_px / 4
    shift = (factor - 1) / 2 / stride_px
    signs = np.array([0, -1, -1, 1, 1] + [1] * 10, np.float32)
    return fitted + signs * np.float32(shift)
