"""A portrait in, an identity out: the pipeline."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.errors import ModelMismatchError
from pulid_sdcpp.identity.encoder import Encoder
from pulid_sdcpp.identity.face_choice import FaceChoice
from pulid_sdcpp.identity.fusion import DEFAULT_FUSION, Fusion, check_fusion, resolved_fusion
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.photo_warning import PHOTO_WARNINGS, log_photo_warnings

from .encoder import FaceEncoder
from .face_selection import from_left
from .faces import Face, FaceFinder
from .finite import check_finite
from .models_folder import find_model_files
from .networks import face_providers, load_networks
from .photo import PhotoSource, load_photo
from .photo_checks import agreement, different_people
from .portrait_reader import FoundFace, PortraitReader, ReadPortrait
from .provenance import Provenance

__all__ = ["ALIGNERS", "IdentityExtractor", "extract_identity"]

ALIGNERS = ("insightface", "retinaface")
"""Whose landmarks the crop for the vision tower is aligned by: see `IdentityExtractor`."""

_logger = logging.getLogger("pulid_extractor")

_MOST_WARNINGS = 64  # that an identity's metadata can have


class IdentityExtractor:
    """Makes identities from portraits. It loads its networks once; use it for many photos.

    Args:
        models_dir: Folder with the weights under their published names, see `models_folder`. Not
            needed if every file is given.
        pulid_weights: The weights whose identities are wanted: `pulid_flux_v0.9.1.safetensors`, or
            PuLID's for SDXL, v1 or v1.1. By default those for Flux are searched in the folder, and
            those for SDXL where there are none.
        eva: `EVA02_CLIP_L_336_psz14_s6B.pt`, likewise.
        parsing: `parsing_bisenet.pth`, likewise.
        detector: `scrfd_10g_bnkps.onnx`, likewise.
        recogniser: `glintr100.onnx`, likewise.
        retinaface: `detection_Resnet50_Final.pth`, likewise; only for that aligner.
        aligner: Detector whose landmarks align the crop for the vision tower. "insightface": the
            one that ArcFace uses, too. "retinaface": facexlib's RetinaFace, as in PuLID's own code,
            for the same face; needs the extra [reference] and some seconds more per photo.
        device: "auto" (CUDA, then MPS, then the CPU), "cpu", "cuda", "cuda:1" or "mps".
        dtype: Type in which the vision tower and the encoder compute: "fp32", "bf16", "fp16", or
            "auto": bf16 on CUDA, fp32 elsewhere. bf16 is faster on a CPU that has it and changes an
            identity by about 1 % (cosine 0.99996 to fp32, measured at the published size with
            random weights); fp16 is refused on the CPU, where it is several times slower than fp32.
        engine: What computes the networks: "torch", or "onnx": ONNX Runtime, without PyTorch, in
            fp32 on "cpu" or "cuda". "auto": PyTorch where it is installed. Their identities differ
            by less than 1e-3 of their largest number.

    Raises:
        ModelFileError: Weights are missing or of the wrong kind.
        ModelMismatchError: Weights are valid but do not fit together.
        MissingDependencyError: A package or a system library is missing.
        DeviceError: The device does not exist here.
        ValueError: The device, dtype or engine is unknown, or fp16 is used on the CPU.
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
        engine: str = "auto",
    ) -> None:
        if aligner not in ALIGNERS:
            raise ValueError(f"aligner {aligner!r}: expected {' or '.join(ALIGNERS)}")
        self.aligner = aligner
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
        # First, because ONNX Runtime reads ArcFace twice: the others then use what it gave back.
        faces = FaceFinder(
            self.files.detector, self.files.recogniser, face_providers(engine, device)
        )
        self._networks = load_networks(engine, self.files, device=device, dtype=dtype)
        self._reader = PortraitReader(
            self.files, faces, self._networks, with_retinaface=aligner == "retinaface"
        )
        self._encoder = FaceEncoder(self._networks.encoder, self._networks.network)
        self._check_widths()
        self._provenance = Provenance(self.encoder, self.files.pulid, aligner, self.engine)
        self._unconditionals: dict[tuple[int, str], NDArray[np.float32]] = {}
        _logger.debug("extractor for %s on %s in %s", self.encoder, self.device, self.dtype)

    @property
    def device(self) -> str:
        """The device, such as "cpu"."""
        return self._networks.device

    @property
    def dtype(self) -> str:
        """The type that it computes in: "fp32", "bf16" or "fp16"."""
        return self._networks.dtype

    @property
    def engine(self) -> str:
        """What computes the networks: "torch" or "onnx"."""
        return self._networks.engine

    @property
    def encoder(self) -> Encoder:
        """Whose identities it makes: "flux", "sdxl-v1" or "sdxl-v1.1"."""
        return self._encoder.encoder

    def find_faces(self, photo: PhotoSource) -> list[Face]:
        """Find every face in a photo, from left to right, the order in which `face` counts them.

        Boxes and landmarks are in pixels of the photo with its long side at most 1024.

        Raises:
            ImageFileError: The photo cannot be used.
            FaceNotFoundError: The photo has no face.
        """
        return from_left(self._reader.faces.find(load_photo(photo)))

    def extract(
        self,
        photo: PhotoSource | Sequence[PhotoSource],
        face: FaceChoice = "largest",
        *,
        fusion: Fusion = DEFAULT_FUSION,
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
                together (Flux, SDXL v1.1). "concat": their tokens side by side, of further photos
                only those of ArcFace and CLIP (SDXL v1); "mix": with all tokens of each. "mean":
                the mean of their own identities. "auto": as PuLID's own code does, "idformer" or
                "concat".
            on_face: Called with the face that is used of each photo, before the slow networks run.

        Returns:
            The identity, (32, 2048) with the published weights, or (10, 2048) with v1's for SDXL
            and more of several photos; with its unconditional counterpart and metadata.
            `face_box` is in pixels of the (first) photo as given. What may be wrong with the
            photos is logged, and in `Identity.photo_warnings`.

        Raises:
            ImageFileError: A photo cannot be used.
            FaceNotFoundError: A photo has no face, or not the one that was asked for.
            ModelFileError: The weights produce numbers that are not finite.
            ValueError: The list is empty, the choice of face or the fusion is unknown, or the
                encoder cannot fuse photos so.
        """
        check_fusion(fusion)
        photos: Sequence[Any] = photo if isinstance(photo, (list, tuple)) else [photo]
        if not photos:
            raise ValueError("expected at least one photo, found an empty list")
        fusion = resolved_fusion(fusion if len(photos) > 1 else DEFAULT_FUSION, self.encoder)
        # 1-5. Each photo by itself.
        portraits = [
            self._reader.read(source, face, number, on_face)
            for number, source in enumerate(photos, start=1)
        ]
        for portrait in portraits:
            self._check_embedding(portrait)
        # 6. The encoder, of all photos together or of each.
        tokens = self._encoder.tokens([portrait.seen for portrait in portraits], fusion)
        check_finite(tokens, "identity", self.files.pulid, self.dtype)
        # 7. With where it came from.
        metadata = self._provenance.metadata(portraits)
        recognised = [portrait.recognised for portrait in portraits]
        warnings = [warning for portrait in portraits for warning in portrait.warnings]
        if len(portraits) > 1:
            metadata["fusion"] = fusion
            metadata["agreement"] = round(agreement(recognised), 4)
            warnings += different_people(recognised)
        if warnings:
            metadata[PHOTO_WARNINGS] = list(map(str, warnings[:_MOST_WARNINGS]))
        log_photo_warnings(_logger, warnings, [portrait.found.photo for portrait in portraits])
        uncond = self._unconditional(len(portraits), fusion)
        return Identity.from_array(tokens, uncond, **metadata)

    def _unconditional(self, n_photos: int, fusion: Fusion) -> NDArray[np.float32]:
        key = (n_photos, fusion)
        if key not in self._unconditionals:
            n_vit_tokens = 1 + self._networks.tower.shape.grid**2
            self._unconditionals[key] = self._encoder.unconditional(n_photos, fusion, n_vit_tokens)
        return self._unconditionals[key]

    def _check_embedding(self, portrait: ReadPortrait) -> None:
        expected = self._encoder.embedding_dim
        if portrait.seen.embedding.shape[1] != expected:
            raise ModelMismatchError(
                f"{self.files.pulid}: expected embeddings of {expected}, found "
                f"{len(portrait.recognised)} of {self.files.recogniser} and "
                f"{len(portrait.clip)} of {self.files.eva}"
            )

    def _check_widths(self) -> None:
        width = self._networks.tower.shape.width
        if width != self._encoder.vit_dim:
            raise ModelMismatchError(
                f"{self.files.pulid}: expected a vision tower of width {self._encoder.vit_dim}, "
                f"found width {width} in {self.files.eva}"
            )


def extract_identity(
    photo: PhotoSource | Sequence[PhotoSource],
    models_dir: str | os.PathLike[str] | None = None,
    *,
    face: FaceChoice = "largest",
    fusion: Fusion = DEFAULT_FUSION,
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
