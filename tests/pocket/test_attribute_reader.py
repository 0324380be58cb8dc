"""The attribute reader: any size of picture, named choices, training that goes on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from pocket import attribute_reader as reader_module
from pocket.attribute_reader import (
    CHOICES,
    accuracy,
    attribute_loss,
    attribute_model,
    build_reader,
    draw_pictures,
    export_attribute_reader,
    load_attribute_reader,
    train_attribute_reader,
)
from pocket.onnx_export import largest_difference, readable
from pocket.prompt_code import ATTRIBUTES
from pulid_extractor.adherence import AttributeReader

torch.set_num_threads(1)


def one_hot(shown: np.ndarray) -> torch.Tensor:
    """Logits that are sure of what is shown."""
    parts = [
        torch.nn.functional.one_hot(torch.from_numpy(shown[:, column]).long(), len(choices))
        for column, choices in enumerate(ATTRIBUTES.values())
    ]
    return 10 * torch.cat(parts, 1).float()


@torch.no_grad()
def test_the_model_gives_what_torch_gives() -> None:
    torch.manual_seed(0)
    network = readable(build_reader())
    pictures = torch.rand(3, 3, 96, 96)
    difference = largest_difference(
        attribute_model(network), [network(2 * pictures - 1)], {"picture": pictures}
    )
    print("largest difference", difference)
    assert difference < 1e-4


@pytest.mark.parametrize("side_px", [64, 128, 256])
@torch.no_grad()
def test_the_extractor_reads_what_torch_reads(tmp_path: Path, side_px: int) -> None:
    torch.manual_seed(0)
    network = readable(build_reader())
    (tmp_path / "attributes.onnx").write_bytes(attribute_model(network))
    picture = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), np.uint8)
    read = AttributeReader(tmp_path / "attributes.onnx").read(picture)
    how = cv2.INTER_AREA if side_px > 96 else cv2.INTER_LINEAR
    small = cv2.resize(picture, (96, 96), interpolation=how).astype(np.float32)
    logits = network(torch.from_numpy(small).permute(2, 0, 1)[None] / 127.5 - 1)[0]
    expected, start = {}, 0
    for name, choices in ATTRIBUTES.items():
        expected[name] = choices[int(logits[start : start + len(choices)].argmax())]
        start += len(choices)
    assert read == expected


def test_the_choices_are_named_in_the_order_of_the_logits() -> None:
    model = attribute_model(readable(build_reader()))
    metadata = onnxruntime.InferenceSession(model).get_modelmeta().custom_metadata_map
    named = json.loads(metadata["attributes"])
    assert {name: tuple(choices) for name, choices in named.items()} == ATTRIBUTES
    assert list(named) == list(ATTRIBUTES)
    assert sum(map(len, named.values())) == CHOICES


def test_pictures_are_the_same_every_time() -> None:
    pictures, shown = draw_pictures(5, 3)
    again, shown_again = draw_pictures(5, 3)
    assert pictures.shape == (3, 96, 96, 3)
    np.testing.assert_array_equal(pictures, again)
    np.testing.assert_array_equal(shown, shown_again)


def test_the_background_shown_is_the_background_named() -> None:
    """In the corner of photos, where nobody is."""
    from pocket.portraits.palette import BACKGROUNDS
    from pocket.portraits.scenes import STYLES

    pictures, shown = draw_pictures(8, 30, pose=0.0, sharp=1.0)
    colors = np.array(list(BACKGROUNDS.values()))
    photos = shown[:, list(ATTRIBUTES).index("style")] == STYLES.index("photo")
    corners = pictures[photos, 2:5, 2:5].mean((1, 2))
    nearest = np.abs(corners[:, None] - colors).sum(-1).argmin(1)
    assert photos.sum() > 5
    np.testing.assert_array_equal(nearest, shown[photos, 0])


def test_the_loss_is_least_for_what_is_shown() -> None:
    shown = np.array([[0, 1, 2, 3], [7, 2, 0, 5]])
    right = attribute_loss(one_hot(shown), torch.from_numpy(shown))
    for column in range(4):
        wrong = shown.copy()
        wrong[:, column] = (wrong[:, column] + 1) % 3
        assert attribute_loss(one_hot(wrong), torch.from_numpy(shown)) > right + 1


def test_accuracy_counts_each_attribute() -> None:
    shown = np.array([[0, 1, 2, 3], [7, 2, 0, 5]], np.uint8)
    found = shown.copy()
    found[0, 1] = 0

    class Fixed(nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return one_hot(found)

    pictures = np.zeros((2, 96, 96, 3), np.uint8)
    assert accuracy(Fixed(), pictures, shown) == {
        "background": 1.0, "expression": 0.5, "style": 1.0, "shirt": 1.0,
    }  # fmt: skip


def test_training_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "N_PICTURES", 3)
    monkeypatch.setattr(reader_module, "WIDTHS", (4, 4, 4, 4))
    train_attribute_reader(tmp_path, 0.05)
    first = torch.load(tmp_path / "attribute_reader.ckpt", weights_only=True)
    train_attribute_reader(tmp_path, first["spent_s"] + 0.05)
    second = torch.load(tmp_path / "attribute_reader.ckpt", weights_only=True)
    assert 0 < first["step"] < second["step"]
    assert not load_attribute_reader(tmp_path).training
    assert export_attribute_reader(tmp_path, tmp_path / "pack") < 1e-4
    assert (tmp_path / "pack" / "attributes.onnx").is_file()
