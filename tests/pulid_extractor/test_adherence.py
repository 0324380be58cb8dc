"""An attribute reader whose answers are known: it names the strongest channel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from pulid_extractor import AttributeReader
from pulid_sdcpp.errors import ModelFileError

FLOAT = onnx.TensorProto.FLOAT
CHOICES = {"color": ["red", "green", "blue"], "light": ["bright", "dark"]}
SHAPE = ("n", 3, 8, 8)


def write_reader(
    path: Path,
    *,
    shape: tuple[Any, ...] = SHAPE,
    metadata: str | None = json.dumps(CHOICES),
    outputs: int = 1,
) -> Path:
    """Means of R, G, B; then bright (their sum) and dark (1.5 less their sum, half of it)."""
    weights = np.concatenate([np.eye(3), np.ones((1, 3)), np.zeros((1, 3))]).astype(np.float32)
    offsets = np.array([0, 0, 0, 0, 1.5], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["means", "weights", "offsets"], ["all"], transB=1),
    ]
    names = ["all"]
    if outputs == 2:
        nodes.append(helper.make_node("Split", ["all"], ["one", "two"], axis=1, split=[3, 2]))
        names = ["one", "two"]
    graph = helper.make_graph(
        nodes,
        "reader",
        [helper.make_tensor_value_info("picture", FLOAT, shape)],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in names],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(offsets, "offsets"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    if metadata is not None:
        helper.set_model_props(model, {"attributes": metadata})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("side", [5, 8, 50])  # enlarged, as it is, reduced
def test_reads_the_likeliest_value_of_every_attribute(
    tmp_path: Path, outputs: int, side: int
) -> None:
    reader = AttributeReader(write_reader(tmp_path / "reader.onnx", outputs=outputs))
    assert reader.choices == {"color": ("red", "green", "blue"), "light": ("bright", "dark")}
    for channel, color in enumerate(CHOICES["color"]):
        # 0..1 is what the model gets: 0.8 + 2 * 0.4 is above 1.5, 0.4 is not.
        picture = np.full((side, side, 3), 0.4 * 255, np.uint8)
        picture[..., channel] = round(0.8 * 255)
        assert reader.read(picture) == {"color": color, "light": "bright"}
        picture = np.zeros((side, side + 3, 3), np.uint8)
        picture[..., channel] = 100
        assert reader.read(picture) == {"color": color, "light": "dark"}


@pytest.mark.parametrize(
    "metadata", [None, "", "[]", "{}", '{"color": []}', '{"color": "red"}', '{"color": [1]}', "{"]
)
def test_a_model_without_names_is_no_reader(tmp_path: Path, metadata: str | None) -> None:
    path = write_reader(tmp_path / "reader.onnx", metadata=metadata)
    with pytest.raises(ModelFileError, match="metadata names attributes"):
        AttributeReader(path)


@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (1, 3, 8, 9), (1, 4, 8, 8)])
def test_a_model_of_another_input_is_no_reader(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    with pytest.raises(ModelFileError, match="one input"):
        AttributeReader(write_reader(tmp_path / "reader.onnx", shape=shape))


def test_a_model_that_gives_another_number_of_values_is_refused(tmp_path: Path) -> None:
    path = write_reader(tmp_path / "reader.onnx", metadata='{"color": ["red", "green"]}')
    with pytest.raises(ModelFileError, match=r"expected 2 finite numbers.*found 5"):
        AttributeReader(path).read(np.zeros((8, 8, 3), np.uint8))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelFileError, match="cannot load"):
        AttributeReader(tmp_path / "text.onnx")
    with pytest.raises(ModelFileError, match="found no file"):
        AttributeReader(tmp_path / "absent.onnx")
