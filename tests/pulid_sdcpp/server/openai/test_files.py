"""Edits of pictures that were made before."""

from __future__ import annotations

from typing import Any

import pytest

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.jobs.job_ids import new_job_id, picture_id
from pulid_sdcpp.server.openai.files import with_kept_pictures

MADE = picture_id(new_job_id(), 0)
OTHER = picture_id(new_job_id(), 3)


def read(name: str) -> bytes:
    if name != MADE:
        raise ApiError("not_found", "there is no such picture")
    return b"the picture"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"images": [{"file_id": MADE}]}, {"images": [b"the picture"]}),
        ({"mask": {"file_id": MADE}}, {"mask": b"the picture"}),
        ({"image": {"file_id": MADE}}, {"image": b"the picture"}),
    ],
)
def test_a_picture_by_its_id(body: dict[str, Any], expected: dict[str, Any]) -> None:
    assert with_kept_pictures({"prompt": "x", **body}, read) == {"prompt": "x", **expected}


@pytest.mark.parametrize(
    "images",
    [
        [{"file_id": "alice"}],
        [{"file_id": "../alice-0"}],
        [{"file_id": 7}],
        [{"image_url": MADE}],
        [MADE, b"p", None],
        {"file_id": "alice"},
        "p",
    ],
)
def test_all_else_stays(images: Any) -> None:
    assert with_kept_pictures({"images": images}, read) == {"images": images}


def test_none_such() -> None:
    with pytest.raises(ApiError) as caught:
        with_kept_pictures({"images": ["p", {"file_id": OTHER}]}, read)
    assert (caught.value.code, caught.value.param) == ("not_found", "images[1]")
    assert caught.value.message == "images[1]: there is no such picture"
