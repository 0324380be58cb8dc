"""Pictures of two people, made by the engine and judged: who is in which half?

    python -m pocket.two_people_figures 16 docs/two-people.png

prints the figures of docs/pocket.md and draws some of the pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pulid_sdcpp import Identity, Person, Region, StableDiffusion
from pulid_sdcpp.evaluation.face_similarity import cosine_similarities
from pulid_sdcpp.evaluation.options import EvaluationPrompt
from pulid_sdcpp.evaluation.pocket_prompts import pocket_prompts
from pulid_sdcpp.pocket.pack import PocketFiles, pocket_files
from pulid_sdcpp.store.registry import pocket_settings

from .dataset import SIDE_PX, people_of
from .portraits import draw_portrait, sample_scene

__all__ = ["PairPicture", "draw_pairs", "main", "unseen_portraits"]

UNSEEN_SEED = 9_800_000
POSE = 0.8
REFERENCE_PX = 384
BOXES = ((0, 0, 0.5, 1), (0.5, 0, 0.5, 1))
SCHEDULER: str = pocket_settings()["scheduler"]
FIRST_SEED = 42
SHOWN = 3
GAP_PX = 8


@dataclass(frozen=True)
class PairPicture:
    """One picture of two people.

    Attributes:
        pair: Who is left and who is right.
        prompt: Its number.
        pixels: (128, 256, 3) uint8.
        likeness: (2, people): how like everybody each half is; 0 where it shows no face.
        read: What the prompt asks for, and whether it is seen in each half.
    """

    pair: tuple[int, int]
    prompt: int
    pixels: np.ndarray
    likeness: np.ndarray
    read: dict[str, tuple[bool, bool]]

    @property
    def own(self) -> np.ndarray:
        """(2,) likeness of each half with who is there."""
        return self.likeness[(0, 1), self.pair]

    @property
    def other(self) -> np.ndarray:
        """(2,) likeness of each half with who is in the other."""
        return self.likeness[(1, 0), self.pair][::-1]


def unseen_portraits(count: int, seed: int = UNSEEN_SEED) -> list[np.ndarray]:
    """(384, 384, 3) uint8, each of another person whom no network was trained on."""
    rng = np.random.default_rng([seed, 3])
    return [
        draw_portrait(person, sample_scene(rng, pose=POSE, style=0), REFERENCE_PX).pixels
        for person in people_of(seed, count)
    ]


def draw_pairs(
    files: PocketFiles,
    portraits: Sequence[np.ndarray],
    pictures: Sequence[tuple[tuple[int, int], int]],
    scheduler: str = SCHEDULER,
) -> list[PairPicture]:
    """Make and judge pictures, each of a pair of these people with one of the pocket prompts."""
    from pulid_extractor import IdentityExtractor
    from pulid_extractor.judge import Judge

    extractor = IdentityExtractor(files.models_dir, device="cpu")
    identities = [extractor.extract(portrait) for portrait in portraits]
    judge = Judge(files.models_dir, judges=[files.judge], attributes=files.attributes, device="cpu")
    references = np.stack([_embedding(judge, portrait) for portrait in portraits])
    prompts = pocket_prompts()
    results = []
    with StableDiffusion(
        diffusion_model_path=files.diffusion_model,
        clip_l_path=files.clip_l,
        taesd_path=files.taesd,
        pulid_weights=files.pulid_weights,
        lora_model_dir=files.loras,
        backend="cpu",
    ) as engine:
        for pair, number in pictures:
            prompt = prompts[number]
            people = [identities[person] for person in pair]
            pixels = _draw(engine, people, prompt, number, scheduler)
            halves = [np.ascontiguousarray(half) for half in np.split(pixels, 2, axis=1)]
            found = np.stack([_embedding(judge, half) for half in halves])
            seen = [judge.read_attributes(half) for half in halves]
            read = {
                name: (seen[0][name] == value, seen[1][name] == value)
                for name, value in prompt.attributes.items()
            }
            likeness = cosine_similarities(found, references)
            results.append(PairPicture(pair, number, pixels, likeness, read))
    return results


def _draw(
    engine: StableDiffusion,
    identities: Sequence[Identity],
    prompt: EvaluationPrompt,
    number: int,
    scheduler: str,
) -> np.ndarray:
    people = [
        Person(identity, region=Region(box=box))
        for identity, box in zip(identities, BOXES, strict=True)
    ]
    (image,) = engine.generate_image(
        f"{prompt.text} <lora:two-people:1>",
        width=2 * SIDE_PX,
        height=SIDE_PX,
        sample_steps=4,
        sample_method="euler",
        scheduler=scheduler,
        cfg_scale=1.0,
        seed=FIRST_SEED + number,
        pulid_people=people,
    )
    return np.asarray(image.convert("RGB"))


def _embedding(judge: Any, picture: np.ndarray) -> np.ndarray:
    face = judge.look(picture)
    # Like nobody.
    return np.zeros(512, np.float32) if face is None else face.embeddings["judge"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pairs", type=int)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--scheduler", default=SCHEDULER)
    options = parser.parse_args(arguments)
    portraits = unseen_portraits(2 * options.pairs)
    wanted = []
    for left in range(0, len(portraits), 2):
        for number in (left // 2 % 8, (left // 2 + 3) % 8):
            wanted += [((left, left + 1), number), ((left + 1, left), number)]
    pictures = draw_pairs(pocket_files(), portraits, wanted, options.scheduler)
    own, other = (np.array([getattr(p, name) for p in pictures]) for name in ("own", "other"))
    right = [list(p.likeness.argmax(1)) == list(p.pair) for p in pictures]
    left_own, right_own = own.mean(0)
    print(
        f"{len(portraits)} people, {len(pictures)} pictures, both recognised {np.mean(right):.3f}"
    )
    print(f"own {own.mean():.3f}, left {left_own:.3f}, right {right_own:.3f}, min {own.min():.3f}")
    print(f"the other's {other.mean():.3f}, max {other.max():.3f}")
    for name in ("background", "expression", "style", "shirt"):
        seen = [half for p in pictures for half in p.read.get(name, ())]
        print(f"{name} as asked for: {np.mean(seen):.3f}")
    _sheet(portraits, pictures).save(options.picture, optimize=True)


def _sheet(portraits: Sequence[np.ndarray], pictures: Sequence[PairPicture]) -> Image.Image:
    """A row for each pair: both portraits, their picture, and with places swapped."""
    width, height = 6 * SIDE_PX + 2 * GAP_PX, SHOWN * (SIDE_PX + GAP_PX) - GAP_PX
    sheet = Image.new("RGB", (width, height), "white")
    for row in range(SHOWN):
        one, swapped = pictures[4 * row : 4 * row + 2]
        top = row * (SIDE_PX + GAP_PX)
        for column, person in enumerate(one.pair):
            portrait = Image.fromarray(portraits[person]).resize((SIDE_PX, SIDE_PX))
            sheet.paste(portrait, (column * SIDE_PX, top))
        for column, picture in ((2, one), (4, swapped)):
            left = column * SIDE_PX + column // 2 * GAP_PX
            sheet.paste(Image.fromarray(picture.pixels), (left, top))
    return sheet


if __name__ == "__main__":
    main()
