"""What the shipped SDXL shows of people, measured through the engine.

Random weights prove numbers, not likeness: only a trained model shows that PuLID's layers are where
its file says, and that the formulas carry who somebody is. The people are drawn from seeds that no
training uses; who judges is a recogniser that extraction does not use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pulid_sdcpp import Identity, Person, Region, StableDiffusion
from pulid_sdcpp.evaluation.face_similarity import cosine_similarities
from pulid_sdcpp.evaluation.picture_agreement import agreement_outside
from pulid_sdcpp.evaluation.pocket_prompts import pocket_prompts
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER, PocketFiles, pocket_files
from pulid_sdcpp.pocket.sdxl_pack import PocketSdxlFiles, pocket_sdxl_files
from pulid_sdcpp.store.model_store import resolve_preset
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_file import TensorFile
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

pytest.importorskip("torch")

from pocket.two_people_figures import unseen_portraits

# Of a few of the people that the figures in docs/pocket.md are of, so with some room.
MIN_LIKENESS = 0.6
MAX_LIKENESS_OF_NOBODY = 0.2
MAX_SHARE_WITH_OTHER_LAYERS = 0.4
"""Of the likeness with each layer's own weights."""
MIN_LIKENESS_OF_TWO = 0.55
MAX_CHANGE_OUTSIDE_HEAD = 14.0
"""Mean absolute difference of 255."""
MAX_GAIN = 1.1
"""Of that with ortho_v2 beside none: training saw both."""

N_PEOPLE = 4
WEIGHTS = (0.0, 0.25, 0.5, 1.0)
PROMPTS = pocket_prompts()[:4]
BOXES = ((0, 0, 0.5, 1), (0.5, 0, 0.5, 1))
FIRST_SEED = 42

pytestmark = [
    pytest.mark.engine,
    pytest.mark.extract,
    pytest.mark.skipif(
        not (PACK_FOLDER / MANIFEST_NAME).is_file()
        and os.environ.get("PULID_REQUIRE_POCKET") != "1",
        reason="the pocket model is not in this folder",
    ),
]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Gallery:
    """People, and who judges pictures of them."""

    judge: Any
    references: NDArray[np.float32]
    identities: Sequence[Identity]
    _looked: dict[bytes, Any] = field(default_factory=dict)

    def look(self, picture: Pixels) -> Any:
        """As the judge's, once of each picture."""
        key = picture.tobytes()
        if key not in self._looked:
            self._looked[key] = self.judge.look(np.ascontiguousarray(picture))
        return self._looked[key]

    def likeness(self, pictures: Sequence[Pixels]) -> NDArray[np.float64]:
        """(pictures, people); 0 where a picture shows no face."""
        nothing = np.zeros(self.references.shape[1], np.float32)
        faces = [self.look(picture) for picture in pictures]
        found = [nothing if face is None else face.embeddings["judge"] for face in faces]
        return cosine_similarities(found, self.references)

    def own(self, pictures: Sequence[Pixels]) -> float:
        """The mean likeness of a picture of each to whom it is of."""
        return float(np.diag(self.likeness(pictures)).mean())


@pytest.fixture(scope="module")
def files() -> PocketFiles:
    return pocket_files()


@pytest.fixture(scope="module")
def own() -> PocketSdxlFiles:
    return pocket_sdxl_files()


@pytest.fixture(scope="module")
def gallery(files: PocketFiles, own: PocketSdxlFiles) -> Gallery:
    from pulid_extractor import IdentityExtractor
    from pulid_extractor.judge import Judge

    judge = Judge(
        detector=files.detector,
        recogniser=files.recogniser,
        parsing=files.models_dir / "parsing_bisenet.safetensors",
        judges=[files.judge],
        device="cpu",
    )
    portraits = unseen_portraits(N_PEOPLE)
    extractor = IdentityExtractor(files.models_dir, pulid_weights=own.pulid_weights, device="cpu")
    assert extractor.encoder == "sdxl-v1.1"
    references = np.stack([judge.look(portrait).embeddings["judge"] for portrait in portraits])
    return Gallery(judge, references, [extractor.extract(portrait) for portrait in portraits])


def load(own: PocketSdxlFiles, pulid: Path | None = None) -> StableDiffusion:
    return StableDiffusion(
        diffusion_model_path=own.diffusion_model,
        clip_l_path=own.clip_l,
        clip_g_path=own.clip_g,
        taesd_path=own.taesd,
        pulid_weights=pulid or own.pulid_weights,
        backend="cpu",
        n_threads=1,
    )


@pytest.fixture(scope="module")
def engine(own: PocketSdxlFiles) -> Iterator[StableDiffusion]:
    with load(own) as engine:
        yield engine


def draw(engine: StableDiffusion, people: Sequence[Person], number: int, **options: Any) -> Pixels:
    """With the prompt and the seed of a number, and the preset's settings."""
    settings = resolve_preset("pocket-sdxl").settings
    (image,) = engine.generate_image(
        PROMPTS[number % len(PROMPTS)].text,
        sample_steps=settings["steps"],
        cfg_scale=settings["cfg_scale"],
        scheduler=settings["scheduler"],
        sample_method="euler",
        seed=FIRST_SEED + number,
        pulid_people=people,
        **{"width": settings["width"], "height": settings["height"], **options},
    )
    return np.asarray(image.convert("RGB"))


def draw_each(
    engine: StableDiffusion, gallery: Gallery, weight: float = 1.0, **options: Any
) -> list[Pixels]:
    return [
        draw(engine, [Person(identity, weight=weight)], number, **options)
        for number, identity in enumerate(gallery.identities)
    ]


@pytest.fixture(scope="module")
def swept(engine: StableDiffusion, gallery: Gallery) -> dict[float, list[Pixels]]:
    return {weight: draw_each(engine, gallery, weight) for weight in WEIGHTS}


def test_a_picture_shows_the_person_the_more_the_more_weight(
    swept: dict[float, list[Pixels]], gallery: Gallery
) -> None:
    means = [gallery.own(swept[weight]) for weight in WEIGHTS]
    print("likeness at weight 0 to 1: " + " ".join(f"{mean:.3f}" for mean in means))
    assert means[-1] >= MIN_LIKENESS
    assert abs(means[0]) <= MAX_LIKENESS_OF_NOBODY
    assert all(np.diff(means) > 0)
    assert gallery.likeness(swept[1.0]).argmax(axis=1).tolist() == list(range(N_PEOPLE))


def test_with_the_weights_of_other_layers_nobody_is_recognised(
    own: PocketSdxlFiles,
    gallery: Gallery,
    swept: dict[float, list[Pixels]],
    tmp_path: Path,
) -> None:
    """All of the right shapes: nothing but the faces tells."""
    path = write_other_layers(own.pulid_weights, tmp_path / "other.safetensors")
    with load(own, path) as engine:
        other = gallery.own(draw_each(engine, gallery))
    right = gallery.own(swept[1.0])
    print(f"likeness {other:.3f} with the next layers' weights, {right:.3f} with their own")
    assert other <= MAX_SHARE_WITH_OTHER_LAYERS * right


def test_outside_the_head_little_changes_and_no_more_with_the_projection(
    engine: StableDiffusion, gallery: Gallery, swept: dict[float, list[Pixels]]
) -> None:
    plain = draw_each(engine, gallery, id_projection="none", id_zeros=20)
    projected, without = (changes(gallery, some, swept[0.0]) for some in (swept[1.0], plain))
    likeness = gallery.own(plain)
    print(f"change outside the head: ortho_v2 {projected:.2f}, none {without:.2f} of 255")
    print(f"likeness without projection {likeness:.3f}")
    assert 0 < projected <= MAX_CHANGE_OUTSIDE_HEAD
    assert projected <= MAX_GAIN * without
    assert likeness >= MIN_LIKENESS


def test_two_people_are_each_in_their_region(engine: StableDiffusion, gallery: Gallery) -> None:
    own, other = [], []
    for left in range(0, N_PEOPLE, 2):
        people = [
            Person(gallery.identities[left + side], region=Region(box=BOXES[side]))
            for side in (0, 1)
        ]
        picture = draw(engine, people, left, width=256, height=128)
        likeness = gallery.likeness(np.split(picture, 2, axis=1))
        own += [likeness[side, left + side] for side in (0, 1)]
        other += [likeness[side, left + 1 - side] for side in (0, 1)]
    print(f"two people: likeness {np.mean(own):.3f}, of the other {np.mean(other):.3f}")
    assert np.mean(own) >= MIN_LIKENESS_OF_TWO
    assert np.mean(other) <= MAX_LIKENESS_OF_NOBODY


def changes(gallery: Gallery, some: Sequence[Pixels], others: Sequence[Pixels]) -> float:
    """Of 255, outside both heads."""
    found = []
    for one, other in zip(some, others, strict=True):
        faces = [gallery.look(picture) for picture in (one, other)]
        head = np.any([face.head for face in faces if face is not None], axis=0)
        agreement = agreement_outside(one, other, head)
        assert agreement.mean_difference is not None
        found.append(agreement.mean_difference)
    return float(np.mean(found))


def write_other_layers(pulid: Path, path: Path) -> Path:
    """Each layer's weights in place of those of the next one of the same width."""
    pattern = re.compile(r"(id_adapter_attn_layers\.)([0-9]+)(\..+)")
    with TensorFile(pulid) as file:
        layers: dict[int, set[int]] = {}
        for name in file.names():
            if found := pattern.fullmatch(name):
                layers.setdefault(file.shape(name)[0], set()).add(int(found[2]))
        source: dict[int, int] = {}
        for same in map(sorted, layers.values()):
            source |= dict(zip(same, [*same[1:], same[0]], strict=True))
        specs = []
        for name in file.names():
            found = pattern.fullmatch(name)
            values = file.read(f"{found[1]}{source[int(found[2])]}{found[3]}" if found else name)
            specs.append(TensorSpec(name, values.shape, "f16", partial(np.asarray, values)))
        write_safetensors(path, specs)
    return path
