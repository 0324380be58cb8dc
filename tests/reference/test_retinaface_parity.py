"""The aligner "retinaface" with facexlib's own network, on weights made by hand.

ResNet-50 is wired to pass one number through: how red a spot is. So the network finds red marks,
at every anchor size the wiring names, through all of its 50 layers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pulid_extractor.align import ffhq_crop
from pulid_extractor.faces import Face
from pulid_extractor.photo import load_photo
from pulid_extractor.retinaface import RetinaFaceFinder, load_retinaface
from pulid_sdcpp.errors import FaceNotFoundError

Library = Callable[[str], ModuleType]
CPU = torch.device("cpu")
NEXT_TO_NOTHING = 1e-30
MARKS = [(176, 144), (400, 336)]
"""Middles of cells of 32 pixels, 512 x 512 in all."""
LANDMARK_OFFSETS = [-2.0, -2.0, 2.0, -2.0, 0.0, 0.0, -1.5, 2.0, 1.5, 2.0]
"""From the middle of an anchor of 64 pixels, in tenths of it."""


@pytest.fixture(scope="module")
def network(library: Library) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = library("facexlib.detection.retinaface")
        built = module.RetinaFace(network_name="resnet50", half=False, device=CPU)
    for name, value in built.state_dict().items():
        # Convolutions say next to nothing (zeros are refused as a damaged file); batch norms, whose
        # running variance is 1, change nothing.
        batch_norm = value.ndim == 1 and name.endswith("weight")
        silence = NEXT_TO_NOTHING if value.ndim > 1 else 0.0
        value.fill_(1.0 if batch_norm or "running_var" in name else silence)
    tensors = built.state_dict()
    # Red minus the others, over seven pixels; the network takes BGR.
    tensors["body.conv1.weight"][0, :, 2:5, 2:5] = torch.tensor([-0.5, -0.5, 1.0])[:, None, None]
    for stage in range(1, 5):
        tensors[f"body.layer{stage}.0.downsample.0.weight"][0, 0] = 1
    tensors["fpn.output2.0.weight"][0, 0] = 1
    tensors["fpn.merge2.0.weight"][0, 0, 1, 1] = 1
    tensors["ssh2.conv3X3.0.weight"][0, 0, 1, 1] = 1
    # Anchors of 64 pixels at steps of 16: a face where it is red, none anywhere else.
    tensors["ClassHead.1.conv1x1.weight"][1, 0] = 0.01
    for level in range(3):
        tensors[f"ClassHead.{level}.conv1x1.bias"][0::2] = 10
    for anchor in range(2):
        rows = slice(10 * anchor, 10 * anchor + 10)
        tensors["LandmarkHead.1.conv1x1.bias"][rows] = torch.tensor(LANDMARK_OFFSETS)
    return built.eval()


@pytest.fixture(scope="module")
def weights(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As published: saved from several cards."""
    path = tmp_path_factory.mktemp("weights") / "detection_Resnet50_Final.pth"
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def finder(weights: Path) -> RetinaFaceFinder:
    return load_retinaface(weights, device=CPU)


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    picture = np.random.default_rng(0).integers(90, 110, (512, 512, 3), np.uint8)
    for x, y in MARKS:
        picture[y - 12 : y + 12, x - 12 : x + 12] = (255, 0, 0)
    return picture


def face_around(x: float, y: float) -> Face:
    return Face((x - 36, y - 40, x + 36, y + 40), 0.9, np.zeros((5, 2), np.float32))


def test_the_file_gives_facexlibs_detections(
    library: Library, network: Any, finder: RetinaFaceFinder, pixels: NDArray[np.uint8]
) -> None:
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    with torch.no_grad():
        expected = network.detect_faces(bgr, 0.97)
    found = finder.find(load_photo(pixels))
    print([(face.box, face.score) for face in found])
    rows = [[*face.box, face.score, *face.landmarks.ravel()] for face in found]
    np.testing.assert_array_equal(np.array(rows, np.float32), expected)
    assert len(found) == 2
    for (x, y), face in zip(MARKS, sorted(found, key=lambda face: face.center), strict=True):
        assert np.hypot(face.center[0] - x, face.center[1] - y) < 17


def test_the_crop_is_the_references(
    library: Library, network: Any, finder: RetinaFaceFinder, pixels: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Of the face in the middle, which is the only one the reference can ask for."""
    helper_module = library("facexlib.utils.face_restoration_helper")
    monkeypatch.setattr(helper_module, "init_detection_model", lambda *_, **__: network)
    monkeypatch.setattr(helper_module, "init_parsing_model", lambda *_, **__: None)
    helper = helper_module.FaceRestoreHelper(1, face_size=512, device=CPU)
    helper.read_image(np.ascontiguousarray(pixels[:, :, ::-1]))
    assert helper.get_face_landmarks_5(only_center_face=True) == 1
    helper.align_warp_face()
    middle = min(MARKS, key=lambda mark: np.hypot(mark[0] - 256, mark[1] - 256))
    faces = [face_around(*mark) for mark in MARKS]
    chosen = faces[MARKS.index(middle)]
    same = finder.same_face(load_photo(pixels), chosen, faces)
    difference = np.abs(
        ffhq_crop(pixels, same.landmarks).astype(int) - helper.cropped_faces[0][:, :, ::-1]
    ).max()
    print(f"crop: {difference}")
    assert difference <= 1  # OpenCV mixes pixels in other roundings


def test_either_face_can_be_asked_for_and_no_other_is_taken(
    finder: RetinaFaceFinder, pixels: NDArray[np.uint8]
) -> None:
    photo = load_photo(pixels)
    faces = [face_around(*mark) for mark in MARKS]
    for (x, y), face in zip(MARKS, faces, strict=True):
        found = finder.same_face(photo, face, faces)
        assert np.hypot(found.center[0] - x, found.center[1] - y) < 17
    elsewhere = face_around(176, 400)
    with pytest.raises(FaceNotFoundError, match=r"found 2, the nearest at .* \(overlap 0%\)"):
        finder.same_face(photo, elsewhere, [*faces, elsewhere])


def test_nothing_is_downloaded_and_nothing_printed(
    library: Library, weights: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a download was tried")

    for module in ("facexlib.detection", "facexlib.utils.misc", "facexlib.utils"):
        monkeypatch.setattr(library(module), "load_file_from_url", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    load_retinaface(weights, device=CPU)
    assert capfd.readouterr() == ("", "")


def test_the_whole_way_with_a_marked_face(library: Library, weights: Path, tmp_path: Path) -> None:
    """Six faces found by the stand-in detector, one of them with a red mark on the nose."""
    library("onnx")
    import insightface
    from safetensors.numpy import save_file

    from pulid_extractor import IdentityExtractor
    from standin.extractor.networks import idformer_tensors, make_extractor_standins

    make_extractor_standins(tmp_path)
    save_file(idformer_tensors(), tmp_path / "pulid_flux_v0.9.1.safetensors")
    extractor = IdentityExtractor(tmp_path, device="cpu", aligner="retinaface", retinaface=weights)
    photo = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    picture = load_photo(photo).pixels.copy()
    x, y = (round(float(value)) for value in extractor.find_faces(picture)[1].landmarks[2])
    picture[y - 12 : y + 12, x - 12 : x + 12] = (255, 0, 0)
    faces = extractor.find_faces(picture)
    number = min(range(len(faces)), key=lambda index: abs(faces[index].center[0] - x))
    identity = extractor.extract(picture, face=number)
    assert identity.metadata["aligner"] == "retinaface"
    with pytest.raises(FaceNotFoundError, match="the given picture: the two detectors disagree"):
        extractor.extract(picture, face=len(faces) - 1)
