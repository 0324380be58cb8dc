"""The people of an evaluation: each reference's face as the judge sees it, and the identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FaceNotFoundError
from ..identity.identity_file import Identity
from ..options.context import ContextOptions
from ..system.image_file import read_image
from .options import EvaluationOptions

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
    context: ContextOptions,
    judge: Judge,
    create_extractor: Callable[..., Any],
    say: Callable[[str], None],
) -> list[JudgedPerson]:
    """Everybody in the order of the references.

    Args:
        options: Names the references.
        context: Names the PuLID weights.
        judge: See `pulid_extractor.judge`.
        create_extractor: Called when there is a reference without an identity file.
        say: Told each step in a line.

    Raises:
        FaceNotFoundError: A reference without a face.
        ImageFileError: A portrait cannot be read.
        IdentityFileError: An identity file cannot be used.
        PulidError: Whatever judge and extractor raise.
    """
    # All that can fail at once comes before what takes time.
    identities = [
        None if reference.identity is None else Identity.load(reference.identity)
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
    if any(identity is None for identity in identities):
        say("loading the extractor")
        extractor = create_extractor(
            models_dir=options.models_dir,
            pulid_weights=context.pulid_weights,
            device=options.device,
        )
        for index, reference in enumerate(options.references):
            if identities[index] is None:
                say(f"extracting the identity from {reference.portrait}")
                identities[index] = extractor.extract(reference.portrait)
    return [
        JudgedPerson(identity, dict(face.embeddings))
        for identity, face in zip(identities, faces, strict=True)
        if identity is not None
    ]
