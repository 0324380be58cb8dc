"""Torch networks as ONNX files: the numbers stay, the weights are halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from pocket.convolution import Residual, UnitLength, conv_block, fold_batch_norms
from pocket.onnx_export import OnnxGraph, largest_difference, readable, write_onnx

torch.set_num_threads(1)


def network() -> nn.Sequential:
    """One of everything, its norms far from what they start as."""
    torch.manual_seed(0)
    built = nn.Sequential(
        nn.AvgPool2d(2),
        conv_block(3, 8, 4, 4),
        Residual(8),
        conv_block(8, 6, 3, 2),
        nn.Flatten(),
        nn.Linear(6 * 4, 12),
        nn.ReLU(),
        nn.Linear(12, 10),
        UnitLength(20.0),
    )
    for part in built.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.2, 3)
    return built.eval()


def exported(built: nn.Module) -> bytes:
    graph = OnnxGraph()
    graph.node("Identity", [graph.run(built, "x")], output="y")
    return graph.model({"x": ["n", 3, 32, 32]}, {"y": ["n", 10]}, {"colours": ["red", "blue"]})


@torch.no_grad()
def test_folding_changes_no_number() -> None:
    pictures = torch.rand(2, 3, 32, 32)
    built = network()
    expected = built(pictures)
    folded = fold_batch_norms(built)
    assert not [part for part in folded.modules() if isinstance(part, nn.BatchNorm2d)]
    # Lengths are 20: a few units in the last place of sums of some hundred terms.
    assert float((folded(pictures) - expected).abs().max()) < 1e-4


@torch.no_grad()
def test_the_model_gives_what_torch_gives() -> None:
    built, pictures = readable(network()), torch.rand(3, 3, 32, 32)
    difference = largest_difference(exported(built), [built(pictures)], {"x": pictures})
    print("largest difference", difference)
    assert difference < 1e-4


@torch.no_grad()
def test_a_difference_is_seen() -> None:
    built, pictures = readable(network()), torch.rand(1, 3, 32, 32)
    expected = built(pictures) + 0.5
    assert largest_difference(exported(built), [expected], {"x": pictures}) > 0.4


def test_weights_are_stored_as_halves() -> None:
    model = onnx.load_from_string(exported(readable(network())))
    assert {entry.data_type for entry in model.graph.initializer} == {onnx.TensorProto.FLOAT16}
    stored = sum(len(entry.raw_data) for entry in model.graph.initializer)
    numbers = sum(parameter.numel() for parameter in fold_batch_norms(network()).parameters())
    # One more number is the length of the result.
    assert stored == 2 * (numbers + 1)


def test_metadata_is_json() -> None:
    model = onnx.load_from_string(exported(readable(network())))
    assert [(entry.key, entry.value) for entry in model.metadata_props] == [
        ("colours", '["red", "blue"]')
    ]


def test_no_name_means_something_to_insightface() -> None:
    """It takes a Sub and a Mul among the first nodes for a picture that is scaled inside."""
    model = onnx.load_from_string(exported(readable(network())))
    assert all(node.name.startswith("node_") for node in model.graph.node)


def test_weights_too_large_for_halves_are_an_error() -> None:
    with pytest.raises(ValueError, match="70000: too much for float16"):
        OnnxGraph().constant(np.array([1, 70_000], np.float32))


def test_an_unknown_module_is_an_error() -> None:
    with pytest.raises(ValueError, match="Tanh: no ONNX operator"):
        OnnxGraph().run(nn.Sequential(nn.Tanh()), "x")


def test_a_norm_without_a_convolution_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a convolution before a norm, found ReLU"):
        fold_batch_norms(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))


def test_a_written_model_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_onnx(tmp_path / "new" / "model.onnx", b"model")
    assert [(file.name, file.read_bytes()) for file in (tmp_path / "new").iterdir()] == [
        ("model.onnx", b"model")
    ]
