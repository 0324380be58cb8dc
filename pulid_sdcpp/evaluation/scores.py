"""What was measured of each picture of an evaluation, and the figures of sets of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from .face_similarity import FaceSimilarity, summarise_similarity
from .options import EvaluationPrompt
from .picture_agreement import Agreement
from .plan import EvaluationPicture

__all__ = ["Adherence", "PictureScores", "Purity", "Scores", "summarise"]


@dataclass(frozen=True)
class PictureScores:
    """One picture.

    Attributes:
        planned: Which it is.
        face_score: The detector's, 0..1; None: it found no face.
        similarities: By recogniser, the cosine with every reference; zeros without a face.
        agreement: With nobody's picture of the same prompt and seed, outside both heads; None of
            nobody's own, and where neither picture has a face, so that no head is known.
        clip_i: Cosine of the vision tower's embeddings of the same two pictures, heads greyed.
        attributes: What the attribute reader read.
        file: Where the picture is kept, from the results' folder; None: nowhere.
    """

    planned: EvaluationPicture
    face_score: float | None
    similarities: Mapping[str, Sequence[float]]
    agreement: Agreement | None = None
    clip_i: float | None = None
    attributes: Mapping[str, str] | None = None
    file: str | None = None

    @property
    def face_found(self) -> bool:
        return self.face_score is not None

    def own_similarity(self, recogniser: str) -> float | None:
        """The cosine with the picture's own reference; None of nobody's picture."""
        if self.planned.reference is None:
            return None
        return self.similarities[recogniser][self.planned.reference]


@dataclass(frozen=True)
class Purity:
    """How little else the identity changed: means over pictures. None: nothing was comparable.

    Attributes:
        n_pictures: How many were compared.
        mean_difference: Of pixels outside the heads, of 255.
        ssim: Structural similarity there, at most 1.
        clip_i: See `PictureScores`.
    """

    n_pictures: int
    mean_difference: float | None
    ssim: float | None
    clip_i: float | None


@dataclass(frozen=True)
class Adherence:
    """How often an attribute that prompts ask for was read back.

    Attributes:
        n_pictures: Whose prompt asks for it.
        share: Of them that show it, 0..1.
    """

    n_pictures: int
    share: float


@dataclass(frozen=True)
class Scores:
    """The figures of a set of pictures.

    Attributes:
        n_pictures: How many there are.
        n_without_face: In how many no face was found: their similarity counts as 0.
        similarity: By recogniser; empty of nobody's pictures.
        purity: None of nobody's pictures.
        adherence: By attribute; empty where none was read.
    """

    n_pictures: int
    n_without_face: int
    similarity: Mapping[str, FaceSimilarity]
    purity: Purity | None
    adherence: Mapping[str, Adherence]


def summarise(pictures: Iterable[PictureScores], prompts: Sequence[EvaluationPrompt]) -> Scores:
    """The figures of a set of pictures; those of nobody among them count for adherence alone.

    Args:
        pictures: Any of an evaluation.
        prompts: All of that evaluation.
    """
    all_of_them = list(pictures)
    with_identity = [p for p in all_of_them if p.planned.reference is not None]
    own = [p.planned.reference or 0 for p in with_identity]
    recognisers = with_identity[0].similarities if with_identity else ()
    return Scores(
        n_pictures=len(all_of_them),
        n_without_face=sum(not p.face_found for p in all_of_them),
        similarity={
            name: summarise_similarity([p.similarities[name] for p in with_identity], own)
            for name in recognisers
        },
        purity=_purity(with_identity) if with_identity else None,
        adherence=_adherence(all_of_them, prompts),
    )


def _purity(pictures: Sequence[PictureScores]) -> Purity:
    agreements = [p.agreement for p in pictures if p.agreement is not None]
    compared = [a for a in agreements if a.mean_difference is not None]
    return Purity(
        n_pictures=len(compared),
        mean_difference=_mean(a.mean_difference for a in compared),
        ssim=_mean(a.ssim for a in compared),
        clip_i=_mean(p.clip_i for p in pictures),
    )


def _adherence(
    pictures: Iterable[PictureScores], prompts: Sequence[EvaluationPrompt]
) -> dict[str, Adherence]:
    hits: dict[str, list[bool]] = {}
    for picture in pictures:
        for name, value in prompts[picture.planned.prompt].attributes.items():
            if picture.attributes and name in picture.attributes:
                hits.setdefault(name, []).append(picture.attributes[name] == value)
    return {name: Adherence(len(found), fmean(found)) for name, found in hits.items()}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
