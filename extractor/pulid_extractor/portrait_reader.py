"""What the networks before PuLID's encoder say about the face in a portrait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.errors import FaceNotFoundError
from pulid_sdcpp.identity.face_choice import FaceChoice
from pulid_sdcpp.identity.photo_warning import PhotoWarning

from .align import ffhq_crop
from .encoder import SeenFace
from .face_picture import grey_face, parser_picture, tower_picture
from .face_selection import from_left, select_face
from .faces import Face, FaceFinder
from .finite import check_finite
from .models_folder import ModelFiles
from .networks import FaceNetworks
from .photo import Photo, PhotoSource, load_photo
from .photo_checks import face_warnings

if TYPE_CHECKING:
    from .retinaface import RetinaFaceFinder

__all__ = ["FoundFace", "PortraitReader", "ReadPortrait"]


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


@dataclass(frozen=True, eq=False)
class ReadPortrait:
    """A portrait as the encoder is told of it.

    Attributes:
        found: The face that is used.
        sha256: Of the photo.
        recognised: (512,) float32, the ArcFace embedding, not normalised.
        clip: (n,), the CLIP embedding, of the length 1.
        seen: What the encoder reads.
        warnings: What may be wrong with the photo.
    """

    found: FoundFace
    sha256: str
    recognised: NDArray[np.float32]
    clip: NDArray[np.float32]
    seen: SeenFace
    warnings: Sequence[PhotoWarning]


class PortraitReader:
    """Finds the face, and asks ArcFace and the vision tower about it.

    Args:
        files: The networks' files.
        faces: The detector and ArcFace.
        networks: What is asked about the aligned face.
        with_retinaface: Whether the landmarks of `files.retinaface` align the face.

    Raises:
        ModelFileError: Weights are missing or of the wrong kind.
        MissingDependencyError: A package or a system library is missing.

    Attributes:
        files: As given.
        networks: As given.
        faces: As given.
        retinaface: The detector that the face is aligned by; None: the same.
    """

    def __init__(
        self,
        files: ModelFiles,
        faces: FaceFinder,
        networks: FaceNetworks,
        *,
        with_retinaface: bool = False,
    ) -> None:
        self.files = files
        self.networks = networks
        self.faces = faces
        self.retinaface: RetinaFaceFinder | None = None
        if with_retinaface and files.retinaface is not None:
            import torch

            from .retinaface import load_retinaface

            device = torch.device(networks.device if networks.engine == "torch" else "cpu")
            self.retinaface = load_retinaface(files.retinaface, device=device)

    def read(
        self,
        source: PhotoSource,
        choice: FaceChoice,
        number: int,
        on_face: Callable[[FoundFace], object] | None = None,
    ) -> ReadPortrait:
        """Read a portrait.

        Args:
            source: See `load_photo`.
            choice: The face to use.
            number: Of the photo, from 1, for its warnings.
            on_face: Called with the face before the slow networks run.

        Raises:
            ImageFileError: The photo cannot be used.
            FaceNotFoundError: It has no face, or not the one that was asked for.
            ModelFileError: The vision tower produces numbers that are not finite.
        """
        # 1. The photo, and the one face that is meant, for both halves of the embedding.
        photo = load_photo(source)
        height, width = photo.pixels.shape[:2]
        try:
            faces = self.faces.find(photo)
            face = select_face(faces, choice, width_px=width, height_px=height, scale=photo.scale)
            found = _found_face(photo, face, faces)
            if on_face is not None:
                on_face(found)
            warnings = face_warnings(photo, face, faces, choice, number)
            recognised = self.faces.embed(photo, face)
            # 2. Aligned.
            if self.retinaface is not None:
                face = self.retinaface.same_face(photo, face, faces)
            crop = ffhq_crop(photo.pixels, face.landmarks)
        except FaceNotFoundError as error:
            if str(error).startswith(photo.name):
                raise
            raise type(error)(f"{photo.name}: {error}") from None
        # 3. Grey, on white.
        grey = grey_face(crop, self.networks.parser.labels(parser_picture(crop)))
        # 4. At the vision tower's size.
        picture = tower_picture(grey, self.networks.tower.shape.image_px)
        # 5. The vision tower.
        clip, hidden = self.networks.tower.look(picture)
        check_finite(clip, "CLIP embedding", self.files.eva, self.networks.dtype)
        seen = SeenFace(np.concatenate([recognised, clip])[None], hidden)
        return ReadPortrait(found, photo.sha256, recognised, clip, seen, warnings)


def _found_face(photo: Photo, face: Face, faces: Sequence[Face]) -> FoundFace:
    left, top, right, bottom = (round(edge / photo.scale) for edge in face.box)
    index = next(number for number, other in enumerate(from_left(faces)) if other is face)
    return FoundFace(photo.name, (left, top, right, bottom), face.score, index, len(faces))
