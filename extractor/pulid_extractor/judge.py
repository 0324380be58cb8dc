"""Whoever judges pictures: whose face, where the head is, what the scene looks like.

Beside the recogniser that extraction uses, others may be asked, which the identity was not made
for. All look at the same face, found by the same detector.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from pulid_sdcpp.errors import FaceNotFoundError

from .adherence import AttributeReader
from .compute import resolve_device
from .eva_shape import CLIP_MEAN, CLIP_STD
from .eva_vision import load_eva
from .face_selection import select_face
from .faces import FaceFinder
from .head_mask import box_head, parsed_head
from .models_folder import find_model_file, needed_model_file
from .onnx_session import onnx_providers
from .parsing import load_parsing
from .photo import load_photo

__all__ = ["Judge", "JudgedFace"]

FilePath = str | os.PathLike[str]


@dataclass(frozen=True)
class JudgedFace:
    """The largest face of a picture.

    Attributes:
        box: Left, top, right, bottom in pixels of the picture; may reach beyond its edge.
        score: The detector's score, 0..1.
        embeddings: (512,) float32 by recogniser, not normalised.
        head: (H, W): where the head is.
    """

    box: tuple[float, float, float, float]
    score: float
    embeddings: Mapping[str, NDArray[np.float32]] = field(repr=False)
    head: NDArray[np.bool_] = field(repr=False)


class Judge:
    """Judges pictures. It loads its networks once; use it for many pictures.

    Args:
        models_dir: The extractor's models folder; not needed if detector and recogniser are given.
            Without the face parser a head is an enlarged face box, and without the vision tower
            there are no scene embeddings.
        detector, recogniser, parsing, eva: A file to use instead of searching for it in the folder.
        judges: Further recognisers, ONNX models with ArcFace's signature.
        attributes: An attribute reader, see `adherence`.
        device: As for `IdentityExtractor`.

    Attributes:
        recognisers: Names of the recognisers (their file names), extraction's own first.
        attribute_choices: The values that the attribute reader knows, by attribute; empty without
            one.

    Raises:
        ModelFileError: A file is missing or of the wrong kind.
        MissingDependencyError: A package or a system library is missing.
        DeviceError: The device does not exist here.
        ValueError: The device is unknown, or two recognisers have the same name.
    """

    def __init__(
        self,
        models_dir: FilePath | None = None,
        *,
        detector: FilePath | None = None,
        recogniser: FilePath | None = None,
        parsing: FilePath | None = None,
        eva: FilePath | None = None,
        judges: Sequence[FilePath] = (),
        attributes: FilePath | None = None,
        device: str = "auto",
    ) -> None:
        torch_device = resolve_device(device)
        providers = onnx_providers(torch_device.type)
        finder = _needed(models_dir, "detector", detector)
        own = _needed(models_dir, "recogniser", recogniser)
        paths = [own, *map(Path, judges)]
        name, count = Counter(path.stem for path in paths).most_common(1)[0]
        if count > 1:
            raise ValueError(
                f"two recognisers are called {name}; a judge is another than the one extraction "
                f"uses, {own}, and has another name"
            )
        # Every finder has a detector of its own, 17 MB; only the first one's is used.
        self._finders = {path.stem: FaceFinder(finder, path, providers) for path in paths}
        self.recognisers = tuple(self._finders)
        self._reader = None if attributes is None else AttributeReader(attributes, providers)
        self.attribute_choices = {} if self._reader is None else dict(self._reader.choices)
        parser, tower = _found(models_dir, "parsing", parsing), _found(models_dir, "eva", eva)
        self._parser = None if parser is None else load_parsing(parser, device=torch_device)
        self._tower = (
            None if tower is None else load_eva(tower, device=torch_device, dtype=torch.float32)
        )

    @property
    def parses_heads(self) -> bool:
        """Whether heads are parsed, and not estimated from the face box."""
        return self._parser is not None

    @property
    def sees_scenes(self) -> bool:
        """Whether there are scene embeddings."""
        return self._tower is not None

    def look(self, pixels: NDArray[np.uint8]) -> JudgedFace | None:
        """Find the largest face of a picture; None if there is none.

        Args:
            pixels: (H, W, 3) uint8 RGB; reduced to at most 1024 on the long side.

        Raises:
            ModelFileError: A network fails.
            ValueError: The array has another shape or type, or is too small.
        """
        photo = load_photo(pixels)
        height, width = photo.pixels.shape[:2]
        first = self._finders[self.recognisers[0]]
        try:
            face = select_face(first.find(photo), "largest", width_px=width, height_px=height)
            embeddings = {name: each.embed(photo, face) for name, each in self._finders.items()}
            head = (
                box_head((height, width), face)
                if self._parser is None
                else parsed_head(photo.pixels, face, self._parser)
            )
        except FaceNotFoundError:
            return None
        if photo.scale < 1:
            size = (pixels.shape[1], pixels.shape[0])
            head = np.asarray(Image.fromarray(head).resize(size, Image.Resampling.NEAREST))
        left, top, right, bottom = (edge / photo.scale for edge in face.box)
        return JudgedFace((left, top, right, bottom), face.score, embeddings, head)

    def scene_embedding(
        self, pixels: NDArray[np.uint8], head: NDArray[np.bool_]
    ) -> NDArray[np.float32] | None:
        """The vision tower's embedding of a picture with the head greyed out.

        The whole picture is resized to the tower's square, antialiased.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            head: (H, W).

        Returns:
            (d,), normalised to length 1; None without a vision tower.
        """
        if self._tower is None:
            return None
        device = next(self._tower.parameters()).device
        picture = torch.from_numpy(np.array(pixels)).to(device)
        picture = picture.permute(2, 0, 1)[None].float() / 255
        mean, std = (picture.new_tensor(v).view(1, 3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
        hidden = torch.from_numpy(np.array(head)).to(device)
        picture = torch.where(hidden, mean, picture)
        side_px = self._tower.shape.image_px
        picture = F.interpolate(
            picture, (side_px, side_px), mode="bicubic", align_corners=False, antialias=True
        )
        seen, _ = self._tower((picture - mean) / std)
        return seen[0].float().cpu().numpy()

    def read_attributes(self, pixels: NDArray[np.uint8]) -> dict[str, str]:
        """Read the attributes of a picture, (H, W, 3) uint8 RGB; {} without an attribute reader."""
        return {} if self._reader is None else self._reader.read(pixels)


def _found(folder: FilePath | None, role: str, given: FilePath | None) -> Path | None:
    """A file that is given, or in the folder; None: neither."""
    if given is not None:
        return Path(given)
    return None if folder is None else find_model_file(folder, role)


def _needed(folder: FilePath | None, role: str, given: FilePath | None) -> Path:
    if given is None and folder is None:
        raise ValueError(f"{role} is None, and so is models_dir; name one of them")
    return Path(given) if given is not None else needed_model_file(folder or "", role)
