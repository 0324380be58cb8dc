"""The finished pictures of a job as OpenAI's answers have them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..calls.delivered import delivered_bytes, signed_url
from ..errors import ApiError
from ..jobs.job_ids import picture_id
from ..jobs.jobs import Job, MadePicture
from ..library.picture_facts import picture_facts
from ..request.delivery import DeliveryOptions
from ..service.service import PictureService
from .answer import DeliveredPicture, images_answer

__all__ = ["OpenaiPictures"]


@dataclass(frozen=True)
class OpenaiPictures:
    """Reads pictures from the disk and encodes them: call it in a thread.

    Attributes:
        service: Of the jobs.
        delivery: How they are delivered.
        base_url: What stands before the paths of addresses; "": the pictures themselves are in
            the answer.
    """

    service: PictureService
    delivery: DeliveryOptions
    base_url: str = ""

    def answer(self, job: Job) -> dict[str, Any]:
        """The answer to who waited for a job.

        Raises:
            ApiError: "expired": a picture is not there any more.
        """
        return images_answer(
            job,
            [self.delivered(job, picture) for picture in job.pictures],
            output_format=self.delivery.output_format,
            people=self.people(job),
        )

    def delivered(self, job: Job, picture: MadePicture) -> DeliveredPicture:
        """One of them.

        Raises:
            ApiError: "expired": it is not there any more.
        """
        name = picture_id(job.id, picture.index)
        made = (picture.seed, picture.width, picture.height)
        if self.base_url:
            return DeliveredPicture(*made, url=signed_url(self.service, self.base_url, name))
        path = self.service.book.store.picture_path(job.id, picture.index)
        try:
            content, _ = delivered_bytes(path, self.delivery)
        except OSError:
            raise ApiError("expired", "the picture was removed meanwhile") from None
        return DeliveredPicture(*made, b64_json=base64.b64encode(content).decode("ascii"))

    def people(self, job: Job) -> list[Mapping[str, Any]]:
        """Who is in the pictures: what the first one's own text says, with the request's names."""
        if not job.pictures:
            return []
        path = self.service.book.store.picture_path(job.id, job.pictures[0].index)
        facts = picture_facts(path)
        hashes = facts.people if facts is not None else ()
        said = job.request.get("people", ())
        names = [one.get("name", "") for one in said] if len(said) == len(hashes) else []
        names = names or [""] * len(hashes)
        return [
            {"id": short_hash, **({"name": name} if name else {})}
            for short_hash, name in zip(hashes, names, strict=True)
        ]
