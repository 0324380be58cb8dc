"""What clients and the page do with finished pictures: look at them, mark, remove."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import ApiError
from ..jobs.job_ids import picture_of_id
from ..jobs.jobs import Job, MadePicture
from ..library.gallery import GalleryPicture
from ..library.thumbnails import thumbnail
from .delivered import delivered_bytes, delivery_of

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = [
    "PictureFile",
    "mark_picture",
    "picture_file",
    "picture_thumbnail",
    "picture_view",
    "remove_picture",
]


@dataclass(frozen=True)
class PictureFile:
    """A picture as it is sent.

    Attributes:
        content: The file; empty: whoever asks has it.
        media_type: Of the file.
        etag: Its mark: another file of this picture has another one.
        name: Of the file, to be saved under.
    """

    content: bytes
    media_type: str
    etag: str
    name: str


def picture_view(picture: GalleryPicture, base_url: str = "") -> dict[str, Any]:
    """A picture as JSON.

    Args:
        picture: The picture.
        base_url: What stands before the path, without a slash at its end.
    """
    url = f"{base_url}/pulid/v1/pictures/{picture.id}"
    return {
        "id": picture.id,
        "job_id": picture.job.id,
        "url": url,
        "thumbnail_url": f"{url}/thumbnail",
        "width": picture.made.width,
        "height": picture.made.height,
        "created": int(picture.job.created),
        "seed": picture.made.seed,
        "prompt": picture.prompt,
        "preset": picture.preset,
        "people": [asdict(person) for person in picture.people],
        "favourite": picture.made.favourite,
        "scores": picture.scores,
    }


async def mark_picture(
    service: PictureService, picture: str, sees: str | None, *, favourite: bool
) -> GalleryPicture:
    """As `Gallery.mark`; the page is told.

    Args:
        service: The server.
        picture: Its id.
        sees: Who asks; None: an administrator.
        favourite: Whether it is one.
    """
    _check_is_there(service, picture, sees)
    found = await asyncio.to_thread(service.gallery.mark, picture, sees, favourite=favourite)
    service.changed("gallery", found.job.owner, picture=picture, favourite=favourite)
    return found


async def remove_picture(service: PictureService, picture: str, sees: str | None) -> None:
    """As `Gallery.remove`; the page is told. Arguments as for `mark_picture`."""
    job, _ = _check_is_there(service, picture, sees)
    await asyncio.to_thread(service.gallery.remove, picture, sees)
    if service.book.get(job.id) is None:
        service.keys.forget(job)
    service.changed("gallery", job.owner, removed=picture)


async def picture_file(
    service: PictureService,
    picture: str,
    sees: str | None,
    *,
    output_format: str | None = None,
    quality: int | None = None,
    metadata: bool | None = None,
    known: str = "",
) -> PictureFile:
    """A picture's file, in the format that is asked for, else in the job's.

    Args:
        service, picture, sees: As for `mark_picture`.
        output_format: png, jpeg or webp.
        quality: Of JPEG and WebP, 0 to 100.
        metadata: Whether the file says how it was made.
        known: Marks of the files that are known already, as If-None-Match has them.

    Raises:
        ApiError: not_found, expired, invalid_value.
    """
    job, made, path = service.picture(picture, sees)
    delivery = delivery_of(job)
    if output_format is not None:
        delivery = replace(
            delivery, output_format={"jpg": "jpeg"}.get(output_format, output_format)
        )
    if quality is not None:
        delivery = replace(delivery, output_compression=quality)
    if metadata is not None:
        delivery = replace(delivery, embed_image_metadata=metadata)
    etag = f'"{picture}'
    if delivery.output_format != "png":
        etag += f"-{delivery.output_format}-{delivery.output_compression}"
    etag += '"' if delivery.embed_image_metadata else '-plain"'
    suffix = delivery.output_format.replace("jpeg", "jpg")
    name = f"{job.id}-{made.index:03}.{suffix}"
    if is_known(etag, known):
        return PictureFile(b"", "", etag, name)
    try:
        content, media_type = await asyncio.to_thread(delivered_bytes, path, delivery)
    except OSError as error:
        raise ApiError("not_found", "the picture was removed") from error
    return PictureFile(content, media_type, etag, name)


async def picture_thumbnail(service: PictureService, picture: str, sees: str | None) -> bytes:
    """A picture's small WebP. Arguments as for `mark_picture`."""
    _, _, path = service.picture(picture, sees)
    return await asyncio.to_thread(thumbnail, path)


def is_known(etag: str, known: str) -> bool:
    """Whether a mark is among those of If-None-Match."""
    marks = [mark.strip().removeprefix("W/") for mark in known.split(",")]
    return etag in marks or "*" in marks


def _check_is_there(
    service: PictureService, picture: str, sees: str | None
) -> tuple[Job, MadePicture]:
    """A picture of a job that was removed for its age is expired, not unknown."""
    if picture_of_id(picture) is None:
        raise ApiError("not_found", "there is no such picture")
    job, made, _ = service.picture(picture, sees)
    return job, made
