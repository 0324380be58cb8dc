"""The face parser's structure, and what is kept of a face. (Parity: tests/reference.)"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from pulid_extractor.parsing import BiSeNet, face_only, load_parsing
from pulid_extractor.parsing_shape import BACKGROUND_LABELS
from pulid_sdcpp.errors import ModelFileError
from standin.extractor.networks import parsing_tensors

CPU = torch.device("cpu")


def test_scores_every_class_at_every_pixel(models_dir: Path) -> None:
    parser = load_parsing(models_dir / "parsing_bisenet.pth", device=CPU)
    picture = torch.rand((2, 3, 128, 96), generator=torch.Generator().manual_seed(0))
    scores = parser(picture)
    assert scores.shape == (2, 19, 128, 96)
    assert scores.std() > 0.01
    alone = parser(picture[1:])
    tolerance = 1e-5 * float(scores.abs().max())
    torch.testing.assert_close(scores[1:], alone, rtol=0, atol=tolerance)
    assert torch.equal(alone, parser(picture[1:]))


def test_widths_come_from_the_weights(models_dir: Path) -> None:
    shape = load_parsing(models_dir / "parsing_bisenet.pth", device=CPU).shape
    assert (shape.stem, shape.stages, shape.context) == (8, (8, 12, 16, 24), 12)
    assert (shape.fusion, shape.squeeze, shape.output, shape.labels) == (16, 4, 16, 19)


def test_safetensors_copy_gives_the_same(models_dir: Path, tmp_path: Path) -> None:
    save_file(parsing_tensors(), tmp_path / "parsing_bisenet.safetensors")
    picture = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    original, copy = (
        load_parsing(path, device=CPU)(picture)
        for path in (models_dir / "parsing_bisenet.pth", tmp_path / "parsing_bisenet.safetensors")
    )
    tolerance = 1e-5 * float(original.abs().max())
    torch.testing.assert_close(original, copy, rtol=0, atol=tolerance)


def test_face_is_grey_and_the_rest_white() -> None:
    """With a parser that labels column x of the picture as class x."""
    seen = []

    def parser(pictures: torch.Tensor) -> torch.Tensor:
        seen.append(pictures)
        return torch.eye(19).view(1, 19, 1, 19).expand(1, 19, 4, 19)

    face = torch.rand((1, 3, 4, 19), generator=torch.Generator().manual_seed(3))
    kept = face_only(face, cast(BiSeNet, parser))
    white = {0, 7, 8, 9, 14, 15, 16, 18}
    assert set(BACKGROUND_LABELS) == white
    for label in range(19):
        column = kept[0, :, :, label]
        r, g, b = face[0, :, :, label]
        grey = 0.299 * r + 0.587 * g + 0.114 * b
        expected = torch.ones(4) if label in white else grey
        torch.testing.assert_close(column, expected.expand(3, 4), rtol=0, atol=1e-6)
    # ImageNet normalisation, by hand for the first pixel.
    by_hand = [(float(face[0, c, 0, 0]) - m) / s for c, (m, s) in
               enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)])]  # fmt: skip
    np.testing.assert_allclose(seen[0][0, :, 0, 0].numpy(), by_hand, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cp.resnet.layer3.0.conv1.weight", None, r"layer3\.0\.conv1\.weight is missing"),
        ("cp.resnet.layer3.1.bn2.running_var", None, "missing: cp.resnet.layer3.1.bn2.running_var"),
        ("conv_out.conv_out.weight", np.zeros((11, 16, 1, 1), np.float32), "19 classes, found 11"),
        ("ffm.conv2.weight", np.zeros((16, 4, 3, 3), np.float32), "found .16, 4, 3, 3."),
    ],
)
def test_a_file_that_is_not_the_parser_is_refused(
    tmp_path: Path, name: str, value: np.ndarray | None, message: str
) -> None:
    weights = parsing_tensors()
    if value is None:
        del weights[name]
    else:
        weights[name] = value
    save_file(weights, tmp_path / "parsing_bisenet.safetensors")
    with pytest.raises(ModelFileError, match=message):
        load_parsing(tmp_path / "parsing_bisenet.safetensors", device=CPU)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    tensors = parsing_tensors()
    tensors["ffm.conv1.weight"][0, 0] = np.nan
    save_file(tensors, tmp_path / "parsing_bisenet.safetensors")
    with pytest.raises(ModelFileError, match=r"parsing_bisenet.* not finite"):
        load_parsing(tmp_path / "parsing_bisenet.safetensors", device=CPU)
