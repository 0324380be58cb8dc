"""Pictures as they leave the server: in the format that was asked for, and by addresses."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...options.facts import of
from ...pictures.formats import holding_suffix, suffix_of
from ...pictures.png_text import encoded_picture, read_picture_text
from ..access.signing import picture_query
from ..jobs.jobs import Job
from ..request.delivery import DeliveryOptions
from ..service.engine_events import picture_path_of

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["MEDIA_TYPES", "delivered_bytes", "delivery_of", "signed_url"]

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


def delivery_of(job: Job) -> DeliveryOptions:
    """How a job's pictures are delivered."""
    said: dict[str, Any] = {
        name: job.request[name] for name in of(DeliveryOptions) if name in job.request
    }
    return DeliveryOptions(**said)


def delivered_bytes(path: Path, delivery: DeliveryOptions) -> tuple[bytes, str]:
    """A picture's file as it is delivered, and its media type. It reads and encodes: for a thread.

    A picture that is too large for its format is delivered as PNG.

    Args:
        path: The PNG that is kept.
        delivery: How.

    Raises:
        OSError: It cannot be read.
        ValueError: Its text is too long for JPEG and WebP.
    """
    content = path.read_bytes()
    if delivery.output_format == "png" and delivery.embed_image_metadata:
        return content, MEDIA_TYPES["png"]
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        suffix = holding_suffix(suffix_of(delivery.output_format), image.size)
        text = (read_picture_text(content) or "") if delivery.embed_image_metadata else ""
        quality = max(delivery.output_compression, 1)
        encoded = encoded_picture(image, suffix, text, quality=quality)
    return bytes(encoded), MEDIA_TYPES["png" if suffix == ".png" else delivery.output_format]


def signed_url(service: PictureService, base_url: str, picture: str) -> str:
    """An address at which a picture can be had without a key, for an hour.

    Args:
        service: The server.
        base_url: What stands before the path, without a slash at its end.
        picture: The picture's id.
    """
    query = picture_query(service.secret, picture, service.clock())
    return f"{base_url}{picture_path_of(picture)}?{query}"
