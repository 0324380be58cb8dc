"""Detection, selection and recognition with the stand-in pair, as insightface does them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import skimage.data
from numpy.typing import NDArray

from pulid_extractor import faces as faces_module
from pulid_extractor.faces import FaceDetector, FaceFinder
from pulid_extractor.photo import Photo, load_photo
from pulid_extractor.scrfd import Scrfd
from pulid_sdcpp.errors import FaceNotFoundError, ModelFileError
from pulid_sdcpp.pocket.pack import pocket_files

# The middle of each face of t1.jpg, marked by hand, from left to right.
T1_CENTERS = [(115, 327), (322, 205), (520, 339), (800, 410), (958, 130), (1180, 331)]
ASTRONAUT_BOX = (180, 76, 272, 178)
ASTRONAUT_LANDMARKS = [(203, 101), (246, 103), (224, 127), (206, 141), (243, 142)]


@pytest.fixture(scope="module")
def finder(models_dir: Path) -> FaceFinder:
    folder = models_dir / "antelopev2"
    return FaceFinder(folder / "scrfd_10g_bnkps.onnx", folder / "glintr100.onnx")


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return both / (areas - both)


def test_one_face_in_the_astronaut(finder: FaceFinder, astronaut: NDArray[np.uint8]) -> None:
    (face,) = finder.find(load_photo(astronaut))
    assert overlap(face.box, ASTRONAUT_BOX) > 0.7
    assert face.score > 0.9
    np.testing.assert_allclose(face.landmarks, ASTRONAUT_LANDMARKS, atol=8)


def test_six_faces_in_t1(finder: FaceFinder, t1_path: Path) -> None:
    photo = load_photo(t1_path)
    found = sorted(finder.find(photo), key=lambda face: face.center)
    assert len(found) == 6
    for face, (x, y) in zip(found, T1_CENTERS, strict=True):
        left, top, right, bottom = (edge / photo.scale for edge in face.box)
        assert left < x < right
        assert top < y < bottom
        assert 80 < right - left < 140
        eyes, mouth = face.landmarks[:2, 1].mean(), face.landmarks[3:, 1].mean()
        assert eyes < face.landmarks[2, 1] < mouth


@pytest.mark.parametrize("change", ["grey", "mirrored", "bright", "small"])
def test_the_astronaut_in_other_forms(
    finder: FaceFinder, astronaut: NDArray[np.uint8], change: str
) -> None:
    pixels = {
        "grey": cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY),
        "mirrored": np.ascontiguousarray(astronaut[:, ::-1]),
        "bright": np.clip(astronaut.astype(int) + 30, 0, 255).astype(np.uint8),
        "small": cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA),
    }[change]
    assert len(finder.find(load_photo(pixels))) == 1


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "brick", "noise", "black"])
def test_no_face_says_what_was_tried(finder: FaceFinder, name: str) -> None:
    if name == "noise":
        pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    elif name == "black":
        pixels = np.zeros((400, 500, 3), np.uint8)
    else:
        pixels = getattr(skimage.data, name)()
    with pytest.raises(FaceNotFoundError) as raised:
        finder.find(load_photo(pixels))
    assert "640, 512, 384, 256, 160 pixels" in str(raised.value)
    assert "with a margin at 640 and 384" in str(raised.value)


def test_a_face_that_fills_the_photo_is_found_at_a_smaller_size(
    finder: FaceFinder, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    close = load_photo(cv2.resize(astronaut[60:190, 160:290], (800, 800)))
    (face,) = finder.find(close)
    expected = tuple((edge - start) * 800 / 130 for edge, start in zip(ASTRONAUT_BOX,
                     (160, 60, 160, 60), strict=True))  # fmt: skip
    assert overlap(face.box, expected) > 0.6
    monkeypatch.setattr(faces_module, "DET_SIZES_PX", (640,))
    monkeypatch.setattr(faces_module, "PADDED_DET_SIZES_PX", ())
    with pytest.raises(FaceNotFoundError):
        finder.find(close)


def test_boxes_found_with_a_margin_are_in_the_photos_pixels(
    finder: FaceFinder, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces_module, "DET_SIZES_PX", ())
    (face,) = finder.find(load_photo(astronaut))
    assert overlap(face.box, ASTRONAUT_BOX) > 0.7
    np.testing.assert_allclose(face.landmarks, ASTRONAUT_LANDMARKS, atol=8)


def test_embedding_is_unnormalised_and_follows_the_face(finder: FaceFinder, t1_path: Path) -> None:
    photo = load_photo(t1_path)
    embeddings = np.stack([finder.embed(photo, face) for face in finder.find(photo)])
    assert embeddings.shape == (6, 512)
    assert embeddings.dtype == np.float32
    lengths = np.linalg.norm(embeddings, axis=1)
    np.testing.assert_allclose(lengths, 22, rtol=1e-4)
    likeness = embeddings @ embeddings.T / 22**2
    assert likeness[~np.eye(6, dtype=bool)].max() < 0.6


def test_embedding_is_that_of_insightface(
    finder: FaceFinder, models_dir: Path, t1_path: Path
) -> None:
    """Its own crop is not called: it warns of a deprecation in scikit-image."""
    from insightface.utils import face_align
    from skimage.transform import SimilarityTransform

    photo = load_photo(t1_path)
    face = finder.find(photo)[0]
    matrix = SimilarityTransform.from_estimate(face.landmarks, face_align.arcface_dst).params[:2]
    bgr = np.ascontiguousarray(photo.pixels[:, :, ::-1])
    crop = cv2.warpAffine(bgr, matrix, (112, 112), borderValue=0.0)
    expected = insightface_model(models_dir / "antelopev2" / "glintr100.onnx").get_feat(crop)
    # A pixel of the crop may be rounded to the level beside it.
    np.testing.assert_allclose(finder.embed(photo, face), expected.ravel(), atol=0.02)


@pytest.mark.parametrize("which", ["stand-in", "pocket"])
@pytest.mark.parametrize("size_px", [640, 384])
def test_faces_are_those_of_insightface(
    models_dir: Path, t1_path: Path, which: str, size_px: int
) -> None:
    folder = models_dir if which == "stand-in" else pocket_files().diffusion_model.parent
    path = folder / "antelopev2" / "scrfd_10g_bnkps.onnx"
    detector = Scrfd(path, ("CPUExecutionProvider",))
    counts = []
    for source in [t1_path, skimage.data.astronaut(), *pocket_files().portraits]:
        pixels = load_photo(source).pixels
        found = detector.detect(pixels, size_px, 0.5)
        boxes, landmarks = insightface_model(path).detect(
            np.ascontiguousarray(pixels[:, :, ::-1]), input_size=(size_px, size_px), det_thresh=0.5
        )
        assert found.boxes.shape == (len(boxes), 4)
        np.testing.assert_allclose(found.boxes, boxes[:, :4], atol=0.5)
        np.testing.assert_allclose(found.scores, boxes[:, 4], atol=0.02)
        np.testing.assert_allclose(found.landmarks, landmarks, atol=0.5)
        counts.append(len(boxes))
    assert sum(counts) > 5


def insightface_model(path: Path) -> Any:
    from insightface import model_zoo

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return model_zoo.get_model(
        str(path),
        providers=["CPUExecutionProvider"],
        sess_options=options,
        static_shape_sessions=False,
    )


def test_the_detector_alone_finds_the_same(
    finder: FaceFinder, models_dir: Path, t1_path: Path
) -> None:
    photo = load_photo(t1_path)
    alone = FaceDetector(models_dir / "antelopev2" / "scrfd_10g_bnkps.onnx").find(photo)
    assert [face.box for face in alone] == [face.box for face in finder.find(photo)]


def test_the_wrong_model_is_refused_by_name(models_dir: Path, tmp_path: Path) -> None:
    folder = models_dir / "antelopev2"
    detector, recogniser = folder / "scrfd_10g_bnkps.onnx", folder / "glintr100.onnx"
    with pytest.raises(ModelFileError, match=r"expected the SCRFD .* found a model for recogn"):
        FaceFinder(recogniser, recogniser)
    with pytest.raises(ModelFileError, match=r"expected the ArcFace .* found a model for detec"):
        FaceFinder(detector, detector)
    with pytest.raises(ModelFileError, match="expected the ArcFace recogniser, found nothing"):
        FaceFinder(detector, tmp_path / "absent.onnx")
    with pytest.raises(ModelFileError, match="found a folder"):
        FaceFinder(tmp_path, recogniser)
    for content in (b"", b"not onnx", detector.read_bytes()[:30000]):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(ModelFileError, match=r"bad\.onnx: expected the SCRFD") as raised:
            FaceFinder(tmp_path / "bad.onnx", recogniser)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(40), "a torch checkpoint or another zip archive"),
    ],
)
def test_what_was_downloaded_instead_of_a_model_is_named(
    models_dir: Path, tmp_path: Path, content: bytes, found: str
) -> None:
    (tmp_path / "glintr100.onnx").write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"glintr100\.onnx: expected .* found {found}"):
        FaceFinder(models_dir / "antelopev2" / "scrfd_10g_bnkps.onnx", tmp_path / "glintr100.onnx")


def recogniser_with(models_dir: Path, path: Path, change: str) -> Path:
    """The stand-in recogniser, with something wrong that only running it shows."""
    model = onnx.load(models_dir / "antelopev2" / "glintr100.onnx")
    if change == "larger":
        for axis in (2, 3):
            model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 224
    else:
        (length,) = (item for item in model.graph.initializer if item.name == "length")
        length.CopyFrom(onnx.numpy_helper.from_array(np.array(np.nan, np.float32), "length"))
    onnx.save(model, path)
    return path


def test_a_recogniser_for_larger_crops_is_refused(models_dir: Path, tmp_path: Path) -> None:
    path = recogniser_with(models_dir, tmp_path / "other.onnx", "larger")
    # ONNX Runtime may notice first that the stand-in's layers do not fit that size.
    with pytest.raises(ModelFileError, match=r"other\.onnx: expected "):
        FaceFinder(models_dir / "antelopev2" / "scrfd_10g_bnkps.onnx", path)


def test_an_embedding_that_is_not_finite_names_the_recogniser(
    models_dir: Path, tmp_path: Path, astronaut: NDArray[np.uint8]
) -> None:
    path = recogniser_with(models_dir, tmp_path / "nan.onnx", "nan")
    finder = FaceFinder(models_dir / "antelopev2" / "scrfd_10g_bnkps.onnx", path)
    photo = load_photo(astronaut)
    with pytest.raises(ModelFileError, match=r"nan\.onnx: .* not finite"):
        finder.embed(photo, finder.find(photo)[0])


def test_a_model_that_fails_when_it_runs_is_named(
    models_dir: Path, astronaut: NDArray[np.uint8]
) -> None:
    folder = models_dir / "antelopev2"
    finder = FaceFinder(folder / "scrfd_10g_bnkps.onnx", folder / "glintr100.onnx")
    photo = load_photo(astronaut)
    (face,) = finder.find(photo)

    class Failing:
        def run(self, *_: object) -> None:
            raise RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT\nmore of it")

    finder._recogniser._session = Failing()
    with pytest.raises(ModelFileError, match=r"glintr100\.onnx: ONNX Runtime cannot run it .*MENT"):
        finder.embed(photo, face)
    finder._detector._session = Failing()
    with pytest.raises(ModelFileError, match=r"scrfd_10g_bnkps\.onnx: ONNX Runtime cannot run"):
        finder.find(photo)


def test_nothing_is_printed(
    models_dir: Path, astronaut: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = models_dir / "antelopev2"
    finder = FaceFinder(folder / "scrfd_10g_bnkps.onnx", folder / "glintr100.onnx")
    photo: Photo = load_photo(astronaut)
    finder.embed(photo, finder.find(photo)[0])
    assert capfd.readouterr() == ("", "")
