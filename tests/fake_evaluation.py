"""A world small enough to work out every figure of an evaluation by hand.

A portrait is one colour, which is the person. A picture is 64 x 64: its background is the first
word of the prompt, and its middle, the face, is grey and the person's colour mixed by the
identity's weight.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from fake_engine import Call, FakeEngine
from pulid_extractor.models_folder import PUBLISHED
from pulid_sdcpp.identity.identity_file import Identity

SIDE_PX = 64
NOBODY = np.array([128.0, 128.0, 128.0])
BACKGROUNDS = ("navy", "teal", "gold")


class DrawingEngine(FakeEngine):
    """See the module.

    Args:
        spill: Added to the background where there is an identity.
        fail_at: The call (from 1) that raises `failure`.

    Attributes:
        background: Instead of the prompt's first word.
    """

    background = ""

    def __init__(
        self, *, spill: int = 0, fail_at: int = 0, failure: BaseException | None = None
    ) -> None:
        super().__init__()
        self.spill, self.fail_at, self.stop = spill, fail_at, failure

    def draw(self, call: Call) -> list[Image.Image]:
        if len(self.calls) == self.fail_at and self.stop is not None:
            raise self.stop
        background = ImageColor.getrgb(self.background or call.picture.prompt.split()[0])
        pixels = np.full((call.picture.height, call.picture.width, 3), background, np.float64)
        face = NOBODY
        if call.people:
            weight = call.person.weight
            face = (1 - weight) * NOBODY + weight * call.identity.tokens[0]
            pixels += self.spill
        height, width = pixels.shape[:2]
        pixels[height // 4 : -height // 4, width // 4 : -width // 4] = face
        return [Image.fromarray(pixels.round().astype(np.uint8)).convert("RGBA")]


class ColorExtractor:
    """Takes a portrait's colour for its identity."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def extract(self, photo: Path, **choice: Any) -> Identity:
        with Image.open(photo) as picture:
            color = picture.convert("RGB").getpixel((0, 0))
        # A hair off zero: an identity file with mostly zeros is refused as damaged.
        tokens = np.maximum(np.array([color], np.float32), 0.01)
        return Identity.from_array(tokens, np.ones_like(tokens))


class ColorJudge:
    """Takes the colour of the middle for a face, seen from grey; black is no face.

    Two recognisers: "extraction" and "judge", which sees in other units.
    """

    parses_heads = True
    sees_scenes = True

    def __init__(self, **options: Any) -> None:
        self.options = options
        names = ["extraction", *(Path(path).stem for path in options["judges"])]
        self.recognisers = tuple(names)
        reads = options["attributes"] is not None
        self.attribute_choices = {"background": BACKGROUNDS} if reads else {}

    def look(self, pixels: np.ndarray) -> Any:
        height, width = pixels.shape[:2]
        color = pixels[height // 2, width // 2].astype(np.float32)
        if not color.any():
            return None
        head = np.zeros((height, width), bool)
        head[height // 4 : -height // 4, width // 4 : -width // 4] = True
        embedding = (color - NOBODY).astype(np.float32)
        embeddings = {name: (1 + 9 * i) * embedding for i, name in enumerate(self.recognisers)}
        return SimpleNamespace(score=0.9, embeddings=embeddings, head=head)

    def scene_embedding(self, pixels: np.ndarray, head: np.ndarray) -> np.ndarray:
        outside = pixels[~head].mean(axis=0).astype(np.float32)
        return outside / np.linalg.norm(outside)

    def read_attributes(self, pixels: np.ndarray) -> dict[str, str]:
        if not self.attribute_choices:
            return {}
        distances = [np.abs(pixels[0, 0] - np.array(ImageColor.getrgb(b))) for b in BACKGROUNDS]
        return {"background": BACKGROUNDS[int(np.argmin([d.sum() for d in distances]))]}


def write_model_files(folder: Path) -> None:
    """Nothing that could be loaded, where the extractor's files are looked for."""
    folder.mkdir(exist_ok=True)
    for published in PUBLISHED.values():
        (folder / published.names[0]).write_text(published.what)


def write_portraits(folder: Path, **colors: str) -> list[Path]:
    """One picture per person."""
    paths = []
    for name, color in colors.items():
        paths.append(folder / f"{name}.png")
        Image.new("RGB", (80, 80), color).save(paths[-1])
    return paths
