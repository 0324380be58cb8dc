"""Faces in a photo: where they are, and their ArcFace embeddings."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.errors import FaceNotFoundError, ModelFileError
from pulid_sdcpp.identity.face_choice import FaceBox
from pulid_sdcpp.system.file_signature import SIGNATURE_BYTES, signature
from pulid_sdcpp.system.regular_file import open_regular
from pulid_sdcpp.tensors.file_bytes import FileBytes
from pulid_sdcpp.tensors.hollow_file import check_data

from .align import ARCFACE_PX, arcface_crop
from .dependencies import load_cv2, load_model_zoo, load_onnxruntime
from .photo import Photo

__all__ = ["Face", "FaceDetector", "FaceFinder"]

DET_SIZES_PX = (640, 512, 384, 256, 160)
"""Sizes the photo is fitted into for detection, in the order tried. 640 is the reference's; a
face that fills the picture is found at a smaller one."""
PADDED_DET_SIZES_PX = (640, 384)
"""Sizes tried last, with a margin around the photo: for a face cut off by its edge."""
PADDING = 0.5
"""Width of that margin, in long sides of the photo."""
MIN_SCORE = 0.5
"""Detections below are dropped (insightface's default)."""

_logger = logging.getLogger("pulid_extractor")


@dataclass(frozen=True)
class Face:
    """A detected face.

    Args:
        box: Left, top, right, bottom in pixels of the photo; may reach beyond its edge.
        score: The detector's score, 0..1.
        landmarks: (5, 2) float32, see `align`.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: NDArray[np.float32] = field(repr=False)

    @property
    def area(self) -> float:
        return max(self.box[2] - self.box[0], 0.0) * max(self.box[3] - self.box[1], 0.0)

    @property
    def center(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def box_in(self, scale: float) -> FaceBox:
        """Left, top, width, height in pixels of a photo that was reduced by `scale`."""
        left, top, right, bottom = (edge / scale for edge in self.box)
        return left, top, right - left, bottom - top


class FaceDetector:
    """SCRFD detection, through insightface and ONNX Runtime.

    Args:
        detector: `scrfd_10g_bnkps.onnx`.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: The file is not such a model.
        MissingDependencyError: insightface, ONNX Runtime or a library OpenCV needs is missing.
    """

    def __init__(
        self,
        detector: str | os.PathLike[str],
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self._detector_path = Path(detector)
        self._detector = _load(self._detector_path, "detection", "SCRFD face detector", providers)
        if not self._detector.use_kps:
            raise ModelFileError(
                f"{detector}: expected a SCRFD face detector with landmarks (nine outputs), found "
                "one without"
            )

    def find(self, photo: Photo) -> list[Face]:
        """Every face, the surest first.

        Raises:
            FaceNotFoundError: There is none, with what was tried.
        """
        cv2 = load_cv2()
        bgr = np.ascontiguousarray(photo.pixels[:, :, ::-1])
        for size_px in DET_SIZES_PX:
            if faces := self._detect(bgr, size_px, margin_px=0):
                return faces
        margin_px = round(max(bgr.shape[:2]) * PADDING)
        padded = cv2.copyMakeBorder(bgr, *[margin_px] * 4, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        for size_px in PADDED_DET_SIZES_PX:
            if faces := self._detect(padded, size_px, margin_px=margin_px):
                return faces
        raise FaceNotFoundError(
            f"{photo.name}: no face found (tried detection at "
            f"{', '.join(map(str, DET_SIZES_PX))} pixels, and with a margin at "
            f"{' and '.join(map(str, PADDED_DET_SIZES_PX))}); use a photo where the face is "
            "upright, sharp and not covered"
        )

    def _detect(self, bgr: NDArray[np.uint8], size_px: int, *, margin_px: int) -> list[Face]:
        with _running(self._detector_path):
            boxes, landmarks = self._detector.detect(
                bgr, input_size=(size_px, size_px), det_thresh=MIN_SCORE
            )
        faces = [
            Face(
                box=tuple(float(edge) - margin_px for edge in box[:4]),  # type: ignore[arg-type]
                score=float(box[4]),
                landmarks=np.asarray(points, np.float32) - margin_px,
            )
            for box, points in zip(boxes, landmarks, strict=True)
        ]
        _logger.debug("detection at %d px, margin %d px: %d", size_px, margin_px, len(faces))
        return faces


class FaceFinder(FaceDetector):
    """SCRFD detection and ArcFace recognition.

    Args:
        detector: `scrfd_10g_bnkps.onnx`.
        recogniser: `glintr100.onnx`.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: A file is not such a model.
        MissingDependencyError: insightface, ONNX Runtime or a library OpenCV needs is missing.
    """

    def __init__(
        self,
        detector: str | os.PathLike[str],
        recogniser: str | os.PathLike[str],
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        super().__init__(detector, providers)
        self._recogniser_path = Path(recogniser)
        self._recogniser = _load(
            self._recogniser_path, "recognition", "ArcFace recogniser", providers
        )
        if tuple(self._recogniser.input_size) != (ARCFACE_PX, ARCFACE_PX):
            # insightface would enlarge the crop to any other size without a word.
            raise ModelFileError(
                f"{recogniser}: expected an ArcFace recogniser of {ARCFACE_PX} x {ARCFACE_PX} "
                f"pixels, found one of {' x '.join(map(str, self._recogniser.input_size))}"
            )

    def embed(self, photo: Photo, face: Face) -> NDArray[np.float32]:
        """The ArcFace embedding of a face, (512,) float32, not normalised: its length counts.

        Raises:
            FaceNotFoundError: The face's landmarks lie on one point.
            ModelFileError: The recogniser fails, or gives numbers that are not finite.
        """
        crop = arcface_crop(photo.pixels, face.landmarks)
        bgr = np.ascontiguousarray(crop[:, :, ::-1])
        with _running(self._recogniser_path):
            embedding = np.asarray(self._recogniser.get_feat(bgr), np.float32).reshape(-1)
        if not np.isfinite(embedding).all():
            raise ModelFileError(
                f"{self._recogniser_path}: the embedding has numbers that are not finite; the "
                "weights are damaged: download them again"
            )
        return embedding


def onnx_providers(device_type: str) -> tuple[str, ...]:
    """The providers to name for a torch device type: CUDA where both have it, else the CPU."""
    available = load_onnxruntime().get_available_providers()
    if device_type == "cuda" and "CUDAExecutionProvider" in available:
        return ("CUDAExecutionProvider", "CPUExecutionProvider")
    return ("CPUExecutionProvider",)


def _load(path: Path, task: str, what: str, providers: Sequence[str]) -> Any:
    """A model by insightface, which tells tasks apart by a model's inputs and outputs."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise ModelFileError(f"{path}: expected the {what}, found {found}")
    if path.suffix != ".onnx":
        # insightface takes any other name for that of a downloadable pack.
        raise ModelFileError(f"{path}: expected the {what}, a file whose name ends in .onnx")
    with open_regular(path) as file:
        found = signature(file.read(SIGNATURE_BYTES))
    if found not in ("an ONNX model", signature(b"")):
        raise ModelFileError(f"{path}: expected the {what}, found {found}")
    with FileBytes(path, f"the {what}") as content:
        check_data(content)
    model_zoo = load_model_zoo()
    options = load_onnxruntime().SessionOptions()
    # The published detector declares its outputs for 640 x 640 and warns at any other size.
    options.log_severity_level = 3
    try:
        model = model_zoo.get_model(
            os.fspath(path),
            providers=list(providers),
            sess_options=options,
            static_shape_sessions=False,
        )
    except Exception as error:
        # ONNX Runtime's exceptions share no base class of its own.
        raise ModelFileError(
            f"{path}: expected the {what}, found a file ONNX Runtime cannot load "
            f"({_reason(error)}); download it again"
        ) from error
    found_task = getattr(model, "taskname", None)
    if found_task != task:
        found = f"a model for {found_task}" if found_task else "an ONNX model of another kind"
        raise ModelFileError(f"{path}: expected the {what}, found {found}")
    return model


@contextlib.contextmanager
def _running(path: Path) -> Iterator[None]:
    """Name the model whose run fails: a model of the right outline can be wrong inside."""
    try:
        yield
    except Exception as error:
        raise ModelFileError(f"{path}: ONNX Runtime cannot run it ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
