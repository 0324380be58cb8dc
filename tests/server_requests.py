"""Stand-ins for what a request's pictures become, and a short way to normalise a body."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.request.normal_request import NormalRequest, normalised
from pulid_sdcpp.server.request.person_fields import Readers

MODELS: Mapping[str, Mapping[str, Any]] = {
    "flux-dev": {"steps": 20, "guidance": 3.5, "width": 1024, "height": 1024},
    "flux-schnell": {"steps": 4},
}


@dataclass(frozen=True)
class Limits:
    max_batch: int = 10
    max_steps: int = 150
    max_pixels: int = 4_194_304
    max_side: int = 4096
    max_people: int = 8
    max_photos: int = 8


@dataclass(frozen=True)
class KeptText:
    """A text in the place of a picture."""

    text: str
    width: int = 640
    height: int = 472

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def read(value: Any, param: str) -> KeptText:
    if not isinstance(value, str) or value == "bad":
        raise ApiError("bad_image", f"{param} is no picture", param)
    return KeptText(value.removeprefix("data:image/png;base64,"))


READERS = Readers(read, read, read, read)


def request_of(body: Mapping[str, Any], **options: Any) -> NormalRequest:
    """The request that a body is, with a fixed random seed."""
    given = {
        "models": MODELS,
        "default_model": "flux-dev",
        "readers": READERS,
        "limits": Limits(),
        "draw_seed": lambda: 7,
    }
    return normalised(body, **{**given, **options})


def readers_of(request: NormalRequest) -> Readers:
    """Readers that know what came with a request by its hash."""
    kept = {f"sha256:{one.sha256}": one for one in request.kept}

    def find(value: Any, param: str) -> Any:
        return kept[value]

    return Readers(find, find, find, find)
