"""The face detector: SCRFD's signature, what it is taught, training that goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pocket import detector as detector_module
from pocket.detector import (
    Detector,
    anchors,
    batches,
    detection_loss,
    detector_model,
    export_detector,
    load_detector,
    train_detector,
)
from pocket.detector_scenes import POOL, PortraitSet, canvas, draw_portraits, photographs
from pocket.onnx_export import largest_difference, readable
from pulid_extractor.faces import FaceFinder
from pulid_extractor.photo import load_photo
from pulid_sdcpp.errors import FaceNotFoundError
from standin.extractor.recogniser import recogniser_model

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def portraits() -> PortraitSet:
    return draw_portraits(7, 4, 96)


@pytest.fixture(scope="module")
def untrained() -> Detector:
    torch.manual_seed(0)
    return readable(Detector())


def cells_of(points: np.ndarray, sides_px: tuple[int, int], level: int) -> torch.Tensor:
    """What a perfect detector would report of one face at one stride."""
    rows, columns = (side // (8, 16, 32)[level] for side in sides_px)
    labels = np.zeros((rows, columns), np.float32)
    targets = np.zeros((14, rows, columns), np.float32)
    detector_module._mark(labels, targets, np.zeros_like(labels), points, level)
    scores = np.where(labels == 1, 20.0, -20.0)[None]
    return torch.from_numpy(np.concatenate([scores, targets])[None].astype(np.float32))


@pytest.mark.parametrize("sides", [(64, 96), (160, 32), (128, 128)], ids=str)
def test_the_model_gives_what_torch_gives(untrained: Detector, sides: tuple[int, int]) -> None:
    picture = 2 * torch.rand(1, 3, *sides) - 1
    difference = largest_difference(
        detector_model(untrained), anchors(untrained, picture), {"input.1": picture}
    )
    print("largest difference", difference)
    assert difference < 1e-4


def test_outputs_are_those_of_the_published_file(untrained: Detector) -> None:
    model = onnx.load_from_string(detector_model(untrained))
    names = ["448", "471", "494", "451", "474", "497", "454", "477", "500"]
    assert [value.name for value in model.graph.output] == names
    picture = torch.zeros(1, 3, 96, 64)
    shapes = [tuple(part.shape) for part in anchors(untrained, picture)]
    counts = [2 * (96 // s) * (64 // s) for s in (8, 16, 32)]
    assert shapes == [(count, width) for width in (1, 4, 10) for count in counts]


@pytest.mark.parametrize(("level", "scale"), [(0, 1.5), (1, 3.0), (2, 6.0)])
def test_perfect_cells_become_the_face_again(
    portraits: PortraitSet, tmp_path: Path, level: int, scale: float
) -> None:
    """The finder reads boxes and landmarks from what the targets say."""
    points = portraits.points[0] * scale
    cells = cells_of(points, (640, 640), level)
    (tmp_path / "detector.onnx").write_bytes(detector_model(readable(Detector())))
    (tmp_path / "recogniser.onnx").write_bytes(recogniser_model())
    finder = FaceFinder(tmp_path / "detector.onnx", tmp_path / "recogniser.onnx")
    empty = [torch.full((1, 15, 640 // s, 640 // s), -20.0) for s in (8, 16, 32)]
    empty[level] = cells
    outputs = [part.numpy() for part in anchors(lambda _: empty, cells)]
    finder._detector._session = _Answers(outputs)
    (face,) = finder.find(load_photo(np.zeros((640, 640, 3), np.uint8)))
    np.testing.assert_allclose(face.box, points[:2].ravel(), atol=1e-3)
    np.testing.assert_allclose(face.landmarks, points[2:], atol=1e-3)


class _Answers:
    """A session that always gives the same."""

    def __init__(self, outputs: list[np.ndarray]) -> None:
        self._outputs = outputs

    def run(self, names: object, inputs: object) -> list[np.ndarray]:
        return self._outputs


def test_an_untrained_detector_finds_nobody(untrained: Detector, tmp_path: Path) -> None:
    (tmp_path / "detector.onnx").write_bytes(detector_model(untrained))
    (tmp_path / "recogniser.onnx").write_bytes(recogniser_model())
    finder = FaceFinder(tmp_path / "detector.onnx", tmp_path / "recogniser.onnx")
    with pytest.raises(FaceNotFoundError):
        finder.find(load_photo(np.full((64, 64, 3), 120, np.uint8)))


def test_a_perfect_report_costs_nothing_and_a_wrong_one_does(portraits: PortraitSet) -> None:
    points = portraits.points[0] * 4
    faces = [points[None]]
    perfect = [cells_of(points, (512, 512), level) for level in range(3)]
    # At 240 px or so the middle stride reports the face, and the coarse one too.
    assert sum(int((cells[:, 0] > 0).sum()) for cells in perfect) > 1
    assert float(detection_loss(perfect, faces)) == pytest.approx(0, abs=1e-4)
    moved = [torch.cat([cells[:, :1], cells[:, 1:] + 0.5], 1) for cells in perfect]
    assert float(detection_loss(moved, faces)) > 0.5
    missed = [torch.cat([cells[:, :1] * 0 - 5, cells[:, 1:]], 1) for cells in perfect]
    assert float(detection_loss(missed, faces)) > 0.5
    assert float(detection_loss(perfect, [points[None, :0].reshape(0, 7, 2)])) > 0.5


def test_canvases_mark_faces_where_they_are(portraits: PortraitSet) -> None:
    """The portrait's own pixels are found again around the marked eyes and mouth."""
    flat = np.zeros((4, 96, 96, 3), np.uint8)
    for pixels, points in zip(flat, portraits.points, strict=True):
        left, top = np.floor(points[2:].min(0)).astype(int)
        right, bottom = np.ceil(points[2:].max(0)).astype(int)
        pixels[top:bottom, left:right] = (255, 0, 255)
    marked = PortraitSet(flat, portraits.points)
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(60):
        picture, faces = canvas(rng, 96, marked, [np.zeros((50, 50, 3), np.uint8)])
        assert picture.shape == (96, 96, 3)
        for points in faces / POOL:
            if points[1, 0] - points[0, 0] < 12:
                continue
            x, y = np.floor(points[2:].mean(0)).astype(int)
            red, green, blue = picture[y, x].astype(int)
            assert min(red, blue) > green + 100
            seen += 1
    assert seen > 40


def test_batches_repeat_with_the_seed(portraits: PortraitSet) -> None:
    draw = batches(portraits, photographs()[:1])
    torch.manual_seed(3)
    first = draw()
    torch.manual_seed(3)
    again = draw()
    assert first[0].shape[-1] % 32 == 0
    torch.testing.assert_close(first[0], again[0])
    assert float(first[0].abs().max()) <= 1


def test_photographs_for_counting_are_never_trained_on() -> None:
    trained, held = photographs(), photographs(held_out=True)
    assert len(held) == 5
    assert len(trained) > len(held)
    sums = {int(photo.sum()) for photo in trained}
    assert not sums & {int(photo.sum()) for photo in held}


def test_training_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_module, "N_PORTRAITS", 2)
    monkeypatch.setattr(detector_module, "CANVASES", {32: (1.0, 2)})
    train_detector(tmp_path, 0.05)
    first = torch.load(tmp_path / "detector.ckpt", weights_only=True)
    train_detector(tmp_path, first["spent_s"] + 0.05)
    second = torch.load(tmp_path / "detector.ckpt", weights_only=True)
    assert 0 < first["step"] < second["step"]
    assert not load_detector(tmp_path).training
    assert export_detector(tmp_path, tmp_path / "pack") < 1e-4
    assert (tmp_path / "pack" / "antelopev2" / "scrfd_10g_bnkps.onnx").is_file()
