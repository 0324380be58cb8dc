"""The people of an evaluation: each reference's face as the judge sees it, and the identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import FaceNotFoundError
from ..families.pulid_encoders import encoders_of_weights
from ..identity.encoder import FLUX
from ..identity.further_identities import identity_for
from ..identity.identity_file import Identity
from ..native.progress_event import ProgressEvent
from ..pipeline.pulid_pipeline import PulidPipeline
from ..system.image_file import read_image
from .options import EvaluationOptions, Reference

if TYPE_CHECKING:
    from pulid_extractor.judge import Judge

__all__ = ["JudgedPerson", "find_people"]


@dataclass(frozen=True, eq=False)
class JudgedPerson:
    """Somebody to be recognised.

    Attributes:
        identity: Given to the engine.
        embeddings: Of the reference portrait's face, by recogniser.
    """

    identity: Identity
    embeddings: dict[str, NDArray[np.float32]]


def find_people(
    options: EvaluationOptions,
    judge: Judge,
    pipeline: PulidPipeline,
    say: Callable[[str], None],
) -> list[JudgedPerson]:
    """Everybody in the order of the references.

    Args:
        options: Names the references.
        judge: See `pulid_extractor.judge`.
        pipeline: Extracts identities of portraits, or finds them extracted.
        say: Called with a line of text at each step.

    Raises:
        FaceNotFoundError: A reference has no face.
        ImageFileError: A portrait cannot be read.
        IdentityFileError: An identity file cannot be used.
        PulidError: Whatever judge and extractor raise.
    """
    # All that can fail at once comes before what takes time.
    encoders = encoders_of_weights(pipeline.context.pulid_weights) or (FLUX,)
    identities = [
        None if reference.identity is None else identity_for(reference.identity, encoders)
        for reference in options.references
    ]
    portraits = [read_image(reference.portrait) for reference in options.references]
    faces = []
    for reference, portrait in zip(options.references, portraits, strict=True):
        face = judge.look(np.asarray(portrait))
        if face is None:
            raise FaceNotFoundError(
                f"{reference.portrait}: no face found, so there is nothing to compare with"
            )
        faces.append(face)
    people = []
    for reference, read, face in zip(options.references, identities, faces, strict=True):
        identity = read or _enroll(pipeline, reference, say)
        people.append(JudgedPerson(identity, dict(face.embeddings)))
    pipeline.free_extractor()
    return people


def _enroll(pipeline: PulidPipeline, reference: Reference, say: Callable[[str], None]) -> Identity:
    def extracting(event: ProgressEvent) -> None:
        say(f"extracting the identity from {reference.portrait}")

    return pipeline.enroll(reference.portrait, on_event=extracting)
