"""The pictures of an evaluation, generated and judged one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..engine.interface import Engine
from ..options.generation import GenerationOptions
from ..people.identity_effect import REFERENCE_CFG_START_STEP
from ..people.identity_options import IdentityOptions
from .face_similarity import cosine_similarities
from .options import EvaluationOptions
from .people import JudgedPerson
from .picture_agreement import agreement_outside
from .plan import EvaluationPicture
from .scores import PictureScores

if TYPE_CHECKING:
    from PIL import Image

    from pulid_extractor.judge import Judge, JudgedFace

__all__ = ["EvaluationRun"]

Keep = Callable[["Image.Image", EvaluationPicture, GenerationOptions, IdentityOptions], str | None]


@dataclass(frozen=True, eq=False)
class _Judged:
    """A picture and what the judge says of it."""

    pixels: NDArray[np.uint8]
    face: JudgedFace | None
    attributes: dict[str, str]
    image: Image.Image


class EvaluationRun:
    """Generates and judges.

    Args:
        options: What is evaluated.
        generation: Of every picture, but for prompt and seed.
        identity: Of every picture with an identity, but for the setting.
        people: In the order of `options.references`.
        judge: See `pulid_extractor.judge`.
        keep: Told of each new picture; returns where it put it.
    """

    def __init__(
        self,
        options: EvaluationOptions,
        generation: GenerationOptions,
        identity: IdentityOptions,
        people: Sequence[JudgedPerson],
        judge: Judge,
        *,
        keep: Keep | None = None,
    ) -> None:
        self._options = options
        self._generation = generation
        # True CFG starts later with an identity, if nothing else is said: here it must not differ.
        cfg_start = None
        if generation.cfg_scale != 1:
            given = identity.cfg_start_step
            cfg_start = REFERENCE_CFG_START_STEP if given is None else given
        self._identity = replace(identity, cfg_start_step=cfg_start)
        self._people = people
        self._judge = judge
        self._keep = keep
        # Nobody's pictures stay, for the others to be compared with: 3 MB each at 1024 x 1024.
        self._nobody: dict[tuple[int, int], _Judged] = {}

    def score(
        self, engine: Engine, pictures: Sequence[EvaluationPicture]
    ) -> Iterator[PictureScores]:
        """Make the pictures in their order, nobody's before those to be compared with them.

        Raises:
            PulidError: Whatever engine and judge raise.
        """
        for planned in pictures:
            generation = replace(
                self._generation,
                prompt=self._options.prompts[planned.prompt].text,
                seed=planned.seed,
                batch_count=1,
            )
            identity = self._identity_of(planned)
            nobody = self._nobody.get((planned.prompt, planned.seed))
            if nobody is not None and not identity.has_effect(generation.evaluated_steps):
                judged = nobody  # the engine would compute the very same once more
            else:
                judged = self._generate(engine, generation, identity)
            if planned.reference is None:
                self._nobody[planned.prompt, planned.seed] = judged
            file = self._keep and self._keep(judged.image, planned, generation, identity)
            yield self._scores(planned, judged, nobody, file or None)

    def _identity_of(self, planned: EvaluationPicture) -> IdentityOptions:
        if planned.reference is None or planned.setting is None:
            return IdentityOptions(cfg_start_step=self._identity.cfg_start_step)
        return replace(
            self._identity,
            embedding=self._people[planned.reference].identity,
            weight=planned.setting.id_weight,
            start_step=planned.setting.start_step,
        )

    def _generate(
        self, engine: Engine, generation: GenerationOptions, identity: IdentityOptions
    ) -> _Judged:
        (image,) = engine.generate(
            generation, identity.everybody, cfg_start_step=identity.cfg_start_step
        )
        pixels = np.asarray(image.convert("RGB"))
        return _Judged(pixels, self._judge.look(pixels), self._judge.read_attributes(pixels), image)

    def _scores(
        self,
        planned: EvaluationPicture,
        judged: _Judged,
        nobody: _Judged | None,
        file: str | None,
    ) -> PictureScores:
        scores = PictureScores(
            planned,
            face_score=None if judged.face is None else judged.face.score,
            similarities=self._similarities(judged.face),
            attributes=judged.attributes,
            file=file,
        )
        if planned.reference is None or nobody is None:
            return scores
        head = _both_heads(judged.face, nobody.face)
        if head is None:
            return scores
        first, second = (
            self._judge.scene_embedding(each.pixels, head) for each in (judged, nobody)
        )
        return replace(
            scores,
            agreement=agreement_outside(judged.pixels, nobody.pixels, head),
            clip_i=None if first is None or second is None else _cosine(first, second),
        )

    def _similarities(self, face: JudgedFace | None) -> dict[str, tuple[float, ...]]:
        found = {}
        for name in self._judge.recognisers:
            references = np.stack([person.embeddings[name] for person in self._people])
            # Without a face there is nothing that is like anybody.
            embedding = np.zeros_like(references[0]) if face is None else face.embeddings[name]
            found[name] = tuple(cosine_similarities(embedding[None], references)[0].tolist())
        return found


def _both_heads(first: JudgedFace | None, second: JudgedFace | None) -> NDArray[np.bool_] | None:
    """Where either picture has a head; None where none is known."""
    heads = [face.head for face in (first, second) if face is not None]
    return np.logical_or.reduce(heads) if heads else None


def _cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(cosine_similarities(first[None], second[None])[0, 0])
