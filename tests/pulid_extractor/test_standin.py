"""The stand-ins: published names and signatures, small, and the same from the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pulid_sdcpp.errors import OutputFileError
from standin.extractor.detector import detector_model
from standin.extractor.networks import (
    eva_tensors,
    idformer_tensors,
    make_extractor_standins,
    parsing_tensors,
)
from standin.extractor.recogniser import recogniser_model


def test_same_seed_same_numbers_another_seed_others() -> None:
    for make in (idformer_tensors, eva_tensors, parsing_tensors):
        first, again, other = make(0), make(0), make(1)
        assert first.keys() == again.keys() == other.keys()
        assert all(np.array_equal(first[name], again[name]) for name in first)
        assert any(not np.array_equal(first[name], other[name]) for name in first)
    assert recogniser_model(0) == recogniser_model(0)
    assert recogniser_model(0) != recogniser_model(1)
    assert detector_model() == detector_model()


def test_files_are_small_and_named_as_published(tmp_path: Path) -> None:
    files = make_extractor_standins(tmp_path / "models", seed=3)
    assert {role: str(path.relative_to(tmp_path / "models")) for role, path in files.items()} == {
        "detector": "antelopev2/scrfd_10g_bnkps.onnx",
        "recogniser": "antelopev2/glintr100.onnx",
        "eva": "EVA02_CLIP_L_336_psz14_s6B.pt",
        "parsing": "parsing_bisenet.pth",
    }
    idformer_bytes = sum(value.nbytes for value in idformer_tensors().values())
    total = sum(path.stat().st_size for path in files.values()) + idformer_bytes
    assert total < 15e6


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputFileError, match="cannot make the folder"):
        make_extractor_standins(tmp_path / "file")


def test_eva_file_is_a_whole_clip_in_half_precision(models_dir: Path) -> None:
    tensors = torch.load(models_dir / "EVA02_CLIP_L_336_psz14_s6B.pt", weights_only=True)
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    assert any(not name.startswith("visual.") for name in tensors)


def signature(
    model: bytes,
) -> tuple[list[tuple[str, list[object]]], list[tuple[str, list[object]]]]:
    graph = onnx.load_from_string(model).graph

    def describe(values: object) -> list[tuple[str, list[object]]]:
        return [
            (v.name, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim])
            for v in values  # type: ignore[attr-defined]
        ]

    return describe(graph.input), describe(graph.output)


def test_detector_has_the_published_signature() -> None:
    onnx.checker.check_model(onnx.load_from_string(detector_model()), full_check=True)
    inputs, outputs = signature(detector_model())
    assert inputs == [("input.1", [1, 3, "height", "width"])]
    assert [name for name, _ in outputs] == [
        "448", "471", "494", "451", "474", "497", "454", "477", "500",
    ]  # fmt: skip
    assert [shape[1] for _, shape in outputs] == [1, 1, 1, 4, 4, 4, 10, 10, 10]


def test_recogniser_has_the_published_signature() -> None:
    onnx.checker.check_model(onnx.load_from_string(recogniser_model()), full_check=True)
    inputs, outputs = signature(recogniser_model())
    assert inputs == [("input.1", ["None", 3, 112, 112])]
    assert outputs == [("1333", ["None", 512])]
