"""A portrait in, an identity out: the pipeline."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from pulid_sdcpp.errors import FaceNotFoundError, ModelFileError, ModelMismatchError
from pulid_sdcpp.identity.face_choice import FaceChoice
from pulid_sdcpp.identity.fusion import Fusion, check_fusion
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.photo_warning import (
    PHOTO_WARNINGS,
    PhotoWarning,
    log_photo_warnings,
)
from pulid_sdcpp.system.file_hash import file_sha256

from .align import ffhq_crop
from .compute import DTYPES, resolve_device, resolve_dtype
from .eva_vision import CLIP_MEAN, CLIP_STD, load_eva
from .face_selection import from_left, select_face
from .faces import Face, FaceFinder, onnx_providers
from .idformer import load_idformer
from .models_folder import find_model_files
from .parsing import face_only, load_parsing
from .photo import Photo, PhotoSource, load_photo
from .photo_checks import agreement, different_people, face_warnings
from .retinaface import RetinaFaceFinder, load_retinaface

__all__ = [
    "ALIGNERS",
    "FoundFace",
    "IdentityExtractor",
    "extract_identity",
]

ALIGNERS = ("insightface", "retinaface")
"""Whose landmarks the crop for the vision tower is aligned by: see `IdentityExtractor`."""

_logger = logging.getLogger("pulid_extractor")

_MOST_WARNINGS = 64  # that an identity's metadata can have


@dataclass(frozen=True)
class FoundFace:
    """The face that is used of a photo.

    Args:
        photo: The photo's path, or "the given picture".
        box: Left, top, right, bottom in pixels of the photo as given.
        score: The detector's score, 0..1.
        index: Its number among the photo's faces, counting from 0 at the left.
        n_faces: Number of faces in the photo.
    """

    photo: str
    box: tuple[int, int, int, int]
    score: float
    index: int
    n_faces: int


@dataclass(frozen=True)
class _Look:
    """What the networks before the IDFormer say about one photo."""

    found: FoundFace
    sha256: str
    recognised: NDArray[np.float32]
    embedding: torch.Tensor
    hidden: list[torch.Tensor]
    warnings: list[PhotoWarning]


class IdentityExtractor:
    """Makes identities from portraits. It loads its networks once; use it for many photos.

    Args:
        models_dir: Folder with the weights under their published names, see `models_folder`. Not
            needed if every file is given.
        pulid_weights: `pulid_flux_v0.9.1.safetensors`; by default it is searched in the folder.
        eva: `EVA02_CLIP_L_336_psz14_s6B.pt`, likewise.
        parsing: `parsing_bisenet.pth`, likewise.
        detector: `scrfd_10g_bnkps.onnx`, likewise.
        recogniser: `glintr100.onnx`, likewise.
        retinaface: `detection_Resnet50_Final.pth`, likewise; only for that aligner.
        aligner: Detector whose landmarks align the crop for the vision tower. "insightface": the
            one that ArcFace uses, too. "retinaface": facexlib's RetinaFace, as in PuLID's own code,
            for the same face; needs the extra [reference] and some seconds more per photo.
        device: "auto" (CUDA, then MPS, then the CPU), "cpu", "cuda", "cuda:1" or "mps".
        dtype: Type in which the vision tower and the IDFormer compute: "fp32", "bf16", "fp16", or
            "auto": bf16 on CUDA, fp32 elsewhere. bf16 is faster on a CPU that has it and changes an
            identity by about 1 % (cosine 0.99996 to fp32, measured at the published size with
            random weights); fp16 is refused on the CPU, where it is several times slower than fp32.

    Raises:
        ModelFileError: Weights are missing or of the wrong kind.
        ModelMismatchError: Weights are valid but do not fit together.
        MissingDependencyError: A package or a system library is missing.
        DeviceError: The device does not exist here.
        ValueError: The device or dtype is unknown, or fp16 is used on the CPU.
    """

    def __init__(
        self,
        models_dir: str | os.PathLike[str] | None = None,
        *,
        pulid_weights: str | os.PathLike[str] | None = None,
        eva: str | os.PathLike[str] | None = None,
        parsing: str | os.PathLike[str] | None = None,
        detector: str | os.PathLike[str] | None = None,
        recogniser: str | os.PathLike[str] | None = None,
        retinaface: str | os.PathLike[str] | None = None,
        aligner: str = "insightface",
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        if aligner not in ALIGNERS:
            raise ValueError(f"aligner {aligner!r}: expected {' or '.join(ALIGNERS)}")
        self.aligner = aligner
        self._device = resolve_device(device)
        self._dtype = resolve_dtype(dtype, self._device)
        self.files = find_model_files(
            models_dir,
            detector=detector,
            recogniser=recogniser,
            eva=eva,
            parsing=parsing,
            pulid=pulid_weights,
            retinaface=retinaface,
            with_retinaface=aligner == "retinaface",
        )
        # First, because insightface reads ArcFace twice: the others then use what it gave back.
        providers = onnx_providers(self._device.type)
        self._faces = FaceFinder(self.files.detector, self.files.recogniser, providers)
        self._retinaface = self._load_retinaface()
        self._eva = load_eva(self.files.eva, device=self._device, dtype=self._dtype)
        self._idformer = load_idformer(self.files.pulid, device=self._device, dtype=self._dtype)
        self._check_widths()
        self._parser = load_parsing(self.files.parsing, device=self._device)
        self._weights_sha256 = _in_background(file_sha256, self.files.pulid)
        self._uncond: NDArray[np.float32] | None = None
        _logger.debug("extractor on %s in %s, ONNX on %s", self.device, self.dtype, providers[0])

    @property
    def device(self) -> str:
        """The device, such as "cpu"."""
        return str(self._device)

    @property
    def dtype(self) -> str:
        """The type that it computes in: "fp32", "bf16" or "fp16"."""
        return next(name for name, dtype in DTYPES.items() if dtype == self._dtype)

    def find_faces(self, photo: PhotoSource) -> list[Face]:
        """Find every face in a photo, from left to right, the order in which `face` counts them.

        Boxes and landmarks are in pixels of the photo with its long side at most 1024.

        Raises:
            ImageFileError: The photo cannot be used.
            FaceNotFoundError: The photo has no face.
        """
        return from_left(self._faces.find(load_photo(photo)))

    def extract(
        self,
        photo: PhotoSource | Sequence[PhotoSource],
        face: FaceChoice = "largest",
        *,
        fusion: Fusion = "idformer",
        on_face: Callable[[FoundFace], object] | None = None,
    ) -> Identity:
        """Extract the identity of the person in a photo.

        Args:
            photo: A file, a Pillow image or an array (see `load_photo`), or a list of them: several
                photos of one person.
            face: Face to use if a photo has several: "largest", "left", "right", "center", a number
                (counting from 0 at the left), or a box (x, y, width, height) in pixels of the
                upright photo as given. It is the same for every photo.
            fusion: How several photos become one identity. "idformer": PuLID's encoder reads them
                together. "mean": the mean of their own identities.
            on_face: Called with the face that is used of each photo, before the slow networks run.

        Returns:
            The identity, (32, 2048) with the published weights, with its unconditional
            counterpart and metadata. `face_box` is in pixels of the (first) photo as given. What
            may be wrong with the photos is logged, and in `Identity.photo_warnings`.

        Raises:
            ImageFileError: A photo cannot be used.
            FaceNotFoundError: A photo has no face, or not the one that was asked for.
            ModelFileError: The weights produce numbers that are not finite.
            ValueError: The list is empty, or the choice of face or the fusion is unknown.
        """
        check_fusion(fusion)
        photos: Sequence[Any] = photo if isinstance(photo, (list, tuple)) else [photo]
        if not photos:
            raise ValueError("expected at least one photo, found an empty list")
        # 1-5. Each photo by itself.
        looks = [
            self._look_at(source, face, on_face, number)
            for number, source in enumerate(photos, start=1)
        ]
        # 6. The IDFormer, of all photos together or of each.
        groups = [looks] if fusion == "idformer" else [[look] for look in looks]
        tokens = torch.stack([self._tokens(group) for group in groups]).mean(dim=0)
        self._check_finite(tokens, "identity", self.files.pulid)
        # 7. With where it came from.
        metadata = self._metadata(looks)
        recognised = [look.recognised for look in looks]
        warnings = [warning for look in looks for warning in look.warnings]
        if len(looks) > 1:
            metadata["fusion"] = fusion
            metadata["agreement"] = round(agreement(recognised), 4)
            warnings += different_people(recognised)
        if warnings:
            metadata[PHOTO_WARNINGS] = list(map(str, warnings[:_MOST_WARNINGS]))
        log_photo_warnings(_logger, warnings, [look.found.photo for look in looks])
        return Identity.from_array(_as_array(tokens), self._unconditional(), **metadata)

    def _tokens(self, looks: Sequence[_Look]) -> torch.Tensor:
        """The photos joined by the IDFormer: embeddings side by side, vision tokens in a row."""
        embeddings = torch.stack([look.embedding for look in looks], dim=1)
        hidden = [
            torch.cat(scale, dim=1) for scale in zip(*(look.hidden for look in looks), strict=True)
        ]
        return self._idformer(embeddings, hidden).float()

    def _look_at(
        self,
        source: PhotoSource,
        choice: FaceChoice,
        on_face: Callable[[FoundFace], object] | None,
        number: int,
    ) -> _Look:
        # 1. The photo, and the one face that is meant, for both halves of the embedding.
        photo = load_photo(source)
        height, width = photo.pixels.shape[:2]
        try:
            faces = self._faces.find(photo)
            face = select_face(faces, choice, width_px=width, height_px=height, scale=photo.scale)
            found = _found_face(photo, face, faces)
            if on_face is not None:
                on_face(found)
            warnings = face_warnings(photo, face, faces, choice, number)
            recognised = self._faces.embed(photo, face)
            # 2. Aligned.
            if self._retinaface is not None:
                face = self._retinaface.same_face(photo, face, faces)
            crop = ffhq_crop(photo.pixels, face.landmarks)
        except FaceNotFoundError as error:
            if str(error).startswith(photo.name):
                raise
            raise type(error)(f"{photo.name}: {error}") from None
        # 3. Grey, on white.
        picture = torch.from_numpy(crop).to(self._device).permute(2, 0, 1)[None].float() / 255
        picture = face_only(picture, self._parser)
        # 4. At the vision tower's size.
        picture = clip_picture(picture, self._eva.shape.image_px)
        # 5. The vision tower.
        seen, hidden = self._eva(picture.to(self._dtype))
        self._check_finite(seen, "CLIP embedding", self.files.eva)
        embedding = torch.cat([torch.from_numpy(recognised)[None].to(seen), seen], dim=1)
        expected = self._idformer.shape.embedding_dim
        if embedding.shape[1] != expected:
            raise ModelMismatchError(
                f"{self.files.pulid}: expected embeddings of {expected}, found "
                f"{len(recognised)} of {self.files.recogniser} and {seen.shape[1]} of "
                f"{self.files.eva}"
            )
        return _Look(found, photo.sha256, recognised, embedding, hidden, warnings)

    def _load_retinaface(self) -> RetinaFaceFinder | None:
        if self.aligner != "retinaface" or self.files.retinaface is None:
            return None
        return load_retinaface(self.files.retinaface, device=self._device)

    def _check_finite(self, values: torch.Tensor, what: str, path: Path) -> None:
        if torch.isfinite(values).all():
            return
        # fp16 ends at 65504, which a published network may pass inside.
        advice = "use bf16 or fp32" if self.dtype == "fp16" else "download them again"
        raise ModelFileError(
            f"{path}: the {what} has numbers that are not finite (computed in {self.dtype}); "
            f"the weights are damaged: {advice}"
        )

    def _check_widths(self) -> None:
        if self._eva.shape.width != self._idformer.shape.vit_dim:
            raise ModelMismatchError(
                f"{self.files.pulid}: expected a vision tower of width "
                f"{self._idformer.shape.vit_dim}, found width {self._eva.shape.width} in "
                f"{self.files.eva}"
            )

    def _unconditional(self) -> NDArray[np.float32]:
        if self._uncond is None:
            n_vit_tokens = 1 + self._eva.shape.grid**2
            self._uncond = _as_array(self._idformer.unconditional(self._dtype, n_vit_tokens))
        return self._uncond

    def _metadata(self, looks: Sequence[_Look]) -> dict[str, Any]:
        first = looks[0]
        return {
            "aligner": self.aligner,
            "created": _now(),
            "detection_score": round(first.found.score, 4),
            "extractor_version": _version(),
            "face_box": list(first.found.box),
            "source_sha256": ",".join(look.sha256 for look in looks),
            "weights_sha256": self._weights_sha256.result(),
        }


def extract_identity(
    photo: PhotoSource | Sequence[PhotoSource],
    models_dir: str | os.PathLike[str] | None = None,
    *,
    face: FaceChoice = "largest",
    fusion: Fusion = "idformer",
    **options: Any,
) -> Identity:
    """Extract an identity: `IdentityExtractor(...).extract(...)` in one call.

    Args:
        photo: See `IdentityExtractor.extract`.
        models_dir: See `IdentityExtractor`.
        face, fusion: See `IdentityExtractor.extract`.
        options: Other arguments of `IdentityExtractor`.

    Raises:
        PulidError: See both.
        ValueError: See both.
    """
    return IdentityExtractor(models_dir, **options).extract(photo, face, fusion=fusion)


def clip_picture(face: torch.Tensor, side_px: int) -> torch.Tensor:
    """Resize to the vision tower's size and normalise.

    Bicubic without antialiasing, as in the torchvision 0.15 that PuLID pins; newer ones
    antialias by default, which changes an identity by a cosine of 0.99997.

    Args:
        face: (n, 3, H, W) float32 in 0..1.
        side_px: Side of the result.
    """
    small = F.interpolate(face, (side_px, side_px), mode="bicubic", align_corners=False)
    mean, std = (small.new_tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (small - mean) / std


def _found_face(photo: Photo, face: Face, faces: Sequence[Face]) -> FoundFace:
    left, top, right, bottom = (round(edge / photo.scale) for edge in face.box)
    index = next(number for number, other in enumerate(from_left(faces)) if other is face)
    return FoundFace(photo.name, (left, top, right, bottom), face.score, index, len(faces))


def _as_array(tokens: torch.Tensor) -> NDArray[np.float32]:
    return tokens[0].float().cpu().numpy()


def _in_background(function: Any, *args: Any) -> Future[str]:
    """Start hashing 1.1 GB while the networks run; a daemon, so that it never holds up an exit."""
    future: Future[str] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="weights-sha256", daemon=True).start()
    return future


def _now() -> str:
    """UTC to the second, or SOURCE_DATE_EPOCH where builds are to be reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = (
        datetime.fromtimestamp(int(epoch), timezone.utc)
        if epoch.isdigit()
        else datetime.now(timezone.utc)
    )
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _version() -> str:
    try:
        return metadata.version("pulid-sdcpp")
    except metadata.PackageNotFoundError:
        return "unknown"
