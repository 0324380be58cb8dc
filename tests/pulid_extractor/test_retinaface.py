"""The second detector's faces and the choice between them, without facexlib."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pulid_extractor import retinaface as retinaface_module
from pulid_extractor.faces import Face
from pulid_extractor.photo import Photo
from pulid_extractor.retinaface import RetinaFaceFinder, load_retinaface, match_face, overlap
from pulid_sdcpp.errors import FaceNotFoundError, ModelFileError

CPU = torch.device("cpu")


def face(left: float, top: float, right: float, bottom: float) -> Face:
    return Face((left, top, right, bottom), 0.99, np.zeros((5, 2), np.float32))


ALICE, BOB = face(100, 100, 200, 220), face(210, 90, 320, 215)
ALICE_AGAIN, BOB_AGAIN = face(96, 104, 204, 228), face(214, 80, 318, 220)


def test_overlap() -> None:
    assert overlap(ALICE, ALICE) == 1
    assert overlap(ALICE, BOB) == 0
    assert overlap(face(0, 0, 2, 2), face(1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap(face(5, 5, 5, 5), face(5, 5, 5, 5)) == 0


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([ALICE_AGAIN], ALICE_AGAIN),
        ([BOB_AGAIN, ALICE_AGAIN], ALICE_AGAIN),
        ([face(0, 0, 900, 900), ALICE_AGAIN], ALICE_AGAIN),
        ([], None),
        ([BOB_AGAIN], None),
        # Half on each of the two, more on Bob.
        ([face(150, 95, 300, 220)], None),
        # A face that holds hers: a poster of someone, the whole head of another.
        ([face(40, 40, 300, 400)], None),
        # In the same place, much smaller: a face on a badge, or only a mouth.
        ([face(130, 140, 170, 190)], None),
    ],
)
def test_the_match_is_the_chosen_face_or_none(
    candidates: list[Face], expected: Face | None
) -> None:
    assert match_face(ALICE, [BOB, ALICE], candidates) is expected


def test_a_candidate_that_is_more_anothers_is_not_taken() -> None:
    """Two overlapping heads: the candidate has 0.4 in common with Alice, and 0.7 with Carol."""
    carol = face(130, 100, 230, 220)
    between = face(140, 100, 240, 220)
    assert overlap(ALICE, between) > 0.4
    assert match_face(ALICE, [ALICE, carol], [between]) is None
    assert match_face(carol, [ALICE, carol], [between]) is between


class FakeNetwork(torch.nn.Module):
    """facexlib's interface: rows of a box, a score and five points."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows = np.array(rows, np.float32).reshape(-1, 15)
        self.seen: NDArray[np.uint8] | None = None

    def detect_faces(self, image: NDArray[np.uint8], conf_threshold: float) -> NDArray[Any]:
        assert torch.is_inference_mode_enabled()
        self.seen, self.threshold = image, conf_threshold
        return self.rows


def photo_of(scale: float = 1.0) -> Photo:
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[..., 0] = 200
    return Photo(pixels, "us.jpg", "", scale)


def test_faces_are_asked_for_as_the_reference_does() -> None:
    network = FakeNetwork([[96, 104, 204, 228, 0.99, *range(10)]])
    (found,) = RetinaFaceFinder(network).find(photo_of())
    assert found.box == (96, 104, 204, 228)
    assert found.score == pytest.approx(0.99)
    np.testing.assert_array_equal(found.landmarks, np.arange(10).reshape(5, 2))
    assert found.landmarks.dtype == np.float32
    assert network.threshold == 0.97
    assert network.seen is not None
    assert network.seen[0, 0].tolist() == [0, 0, 200], "it takes BGR"


def test_disagreement_is_told_with_both_boxes_in_the_photos_own_pixels() -> None:
    both = [[*BOB_AGAIN.box, 0.99, *range(10)], [0, 0, 20, 20, 0.98, *range(10)]]
    cases = [([], "found none;"), (both[:1], "found one at 428 160 636 440 (overlap 0%);"),
             (both, "found 2, the nearest at 428 160 636 440 (overlap 0%);")]  # fmt: skip
    for rows, words in cases:
        with pytest.raises(FaceNotFoundError) as raised:
            RetinaFaceFinder(FakeNetwork(rows)).same_face(photo_of(0.5), ALICE, [BOB, ALICE])
        message = str(raised.value)
        assert message.startswith("us.jpg: the two detectors disagree: insightface found the face")
        assert "at 200 200 400 440, facexlib's RetinaFace " + words in message
        assert 'aligner "insightface"' in message


class SmallDetector(torch.nn.Module):
    """facexlib's constructor, warning and all."""

    def __init__(self, network_name: str, half: bool, device: torch.device) -> None:
        super().__init__()
        warnings.warn("The parameter 'pretrained' is deprecated", UserWarning, stacklevel=1)
        self.body = torch.nn.Linear(2, 3)
        self.options = (network_name, half, device)


@pytest.fixture
def small_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retinaface_module, "load_retinaface_class", lambda: SmallDetector)


@pytest.mark.usefixtures("small_detector")
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_are_read_from_the_given_file(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "detection_Resnet50_Final.pth"
    weights = {"body.weight": torch.arange(6.0).reshape(3, 2), "body.bias": torch.ones(3)}
    torch.save({prefix + name: value for name, value in weights.items()}, path)
    torch.manual_seed(7)
    network = load_retinaface(path, device=CPU)._network
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(1)), "the caller's random numbers were used up"
    assert network.options == ("resnet50", False, CPU)
    assert torch.equal(network.body.weight, weights["body.weight"])
    assert not network.training


@pytest.mark.usefixtures("small_detector")
def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "detection_Resnet50_Final.pth"
    with pytest.raises(ModelFileError, match="no such file"):
        load_retinaface(path, device=CPU)
    torch.save({"module.body.weight": torch.ones(3, 2)}, path)
    with pytest.raises(ModelFileError, match=r"expected the RetinaFace-R50 .*: body\.bias"):
        load_retinaface(path, device=CPU)
    torch.save({"body.weight": torch.ones(3, 9), "body.bias": torch.ones(3)}, path)
    with pytest.raises(ModelFileError, match=r"expected shape \[3, 2\], found \[3, 9\]"):
        load_retinaface(path, device=CPU)
