"""The pictures of an evaluation, generated and judged one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..families.pulid_encoders import encoders_of_weights
from ..options.context import ContextOptions
from ..options.generation import GenerationOptions, with_checked
from ..people.identity_effect import first_cfg_step
from ..people.identity_options import IdentityOptions, takes_part
from ..people.person import Person
from ..pictures.parameters import generation_options_from
from ..pictures.result import Result
from ..pipeline.pulid_pipeline import PulidPipeline
from ..request.generate_request import GenerateRequest
from ..request.read_images import read_images
from .face_similarity import cosine_similarities
from .options import EvaluationOptions
from .people import JudgedPerson
from .picture_agreement import agreement_outside
from .plan import EvaluationPicture
from .scores import PictureScores

if TYPE_CHECKING:
    from pulid_extractor.judge import Judge, JudgedFace

__all__ = ["EvaluationRun"]

Keep = Callable[[Result, EvaluationPicture], str | None]


@dataclass(frozen=True, eq=False)
class _Judged:
    """A picture and what the judge says of it."""

    pixels: NDArray[np.uint8]
    face: JudgedFace | None
    attributes: dict[str, str]
    result: Result


class EvaluationRun:
    """Generates and judges.

    Args:
        options: What is evaluated.
        generation: Of every picture, but for prompt and seed.
        identity: Of every picture with an identity, but for the setting.
        people: In the order of `options.references`.
        judge: See `pulid_extractor.judge`.
        pipeline: Makes the pictures.
        keep: Told of each picture; returns where it put it.

    Attributes:
        context, generation: What pictures are made with: as given, until there is one.
    """

    def __init__(
        self,
        options: EvaluationOptions,
        generation: GenerationOptions,
        identity: IdentityOptions,
        people: Sequence[JudgedPerson],
        judge: Judge,
        pipeline: PulidPipeline,
        *,
        keep: Keep | None = None,
    ) -> None:
        self._options = options
        self.context: ContextOptions = pipeline.context
        self.generation = generation
        self._pipeline = pipeline
        self._asked, self._image_names = read_images(generation)
        # True CFG starts later with an identity, if nothing else is said: here it must not differ.
        cfg_start = None
        if generation.cfg_scale != 1:
            encoders = encoders_of_weights(pipeline.context.pulid_weights)
            cfg_start = first_cfg_step(identity.cfg_start_step, generation, encoders)
        self._identity = replace(identity, cfg_start_step=cfg_start)
        self._people = people
        self._judge = judge
        self._keep = keep
        # Nobody's pictures stay, for the others to be compared with: 3 MB each at 1024 x 1024.
        self._nobody: dict[tuple[int, int], _Judged] = {}

    def score(self, pictures: Sequence[EvaluationPicture]) -> Iterator[PictureScores]:
        """Make the pictures in their order, nobody's before those to be compared with them.

        Raises:
            PulidError: Whatever pipeline and judge raise.
        """
        steps = self._asked.evaluated_steps
        for planned in pictures:
            person = self._person_of(planned)
            nobody = self._nobody.get((planned.prompt, planned.seed))
            if nobody is not None and person is not None and not takes_part(person, steps):
                judged = nobody  # the engine would compute the very same once more
            else:
                judged = self._generate(planned, person)
            if planned.reference is None:
                self._nobody[planned.prompt, planned.seed] = judged
            file = self._keep and self._keep(judged.result, planned)
            yield self._scores(planned, judged, nobody, file or None)

    def _person_of(self, planned: EvaluationPicture) -> Person | None:
        if planned.reference is None or planned.setting is None:
            return None
        return Person(
            self._people[planned.reference].identity,
            planned.setting.id_weight,
            planned.setting.start_step,
            self._identity.end_step,
        )

    def _generate(self, planned: EvaluationPicture, person: Person | None) -> _Judged:
        text = self._options.prompts[planned.prompt].text
        request = GenerateRequest(
            self._pipeline.context,
            with_checked(self._asked, prompt=text, seed=planned.seed, batch_count=1),
            cfg_start_step=self._identity.cfg_start_step,
            image_names=self._image_names,
        )
        result = self._pipeline.make(request, () if person is None else (person,))
        self._note(result)
        pixels = np.asarray(result.image)
        return _Judged(
            pixels, self._judge.look(pixels), self._judge.read_attributes(pixels), result
        )

    def _note(self, result: Result) -> None:
        """What the model was loaded with, and what a plan and it made of the options."""
        plan = self._pipeline.plan
        named = generation_options_from(result.metadata).scheduler
        generation = with_checked(self.generation, **({} if plan is None else plan.generation))
        self.context = self._pipeline.context
        self.generation = generation.with_named_scheduler(named)

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
