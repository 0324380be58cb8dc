"""The files of a request, from its fields and from a form, known by their hash."""

from __future__ import annotations

import base64
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.identity.identity_file import Identity, identity_bytes
from pulid_sdcpp.server.bodies.mask_change import MaskChange
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.limits import Limits
from pulid_sdcpp.server.request.normal_request import normalised
from pulid_sdcpp.server.request.request_files import MAX_EMBEDDING_BYTES, RequestFiles

from ..picture_drafts import file_of, noise

LIMITS = Limits()
IDENTITY = Identity(np.arange(1, 13, dtype=np.float32).reshape(3, 4)).to_bytes()


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def half() -> Image.Image:
    """White on black, opaque on the left and transparent on the right."""
    image = Image.new("LA", (16, 16), (255, 255))
    image.paste((255, 0), (8, 0, 16, 16))
    return image


def test_a_request_with_every_kind_of_file() -> None:
    parts = {"photo": file_of(noise(), "JPEG"), "mask_0": file_of(half())}
    files = RequestFiles(LIMITS, parts=parts)
    body = {
        "prompt": "two people",
        "init_image": in_base64(file_of(noise(64, 64))),
        "mask_image": "data:image/png;base64," + in_base64(file_of(half().resize((64, 64)))),
        "people": [
            {"photo": "file:photo", "region": {"mask": "file:mask_0"}},
            {"embedding": in_base64(IDENTITY), "region": {"box": [0, 0, 0.5, 1]}},
        ],
    }
    request = normalised(
        body, models={"pocket": {}}, default_model="pocket", readers=files.readers, limits=LIMITS
    )
    kept = {one.sha256 for one in request.kept}
    assert set(files.contents) == kept
    assert len(kept) == 5
    for sha256, content in files.contents.items():
        assert hashlib.sha256(content).hexdigest() == sha256
    assert IDENTITY in files.contents.values()
    (start,) = request.pictures["init_image"]
    assert (start.width, start.height) == (64, 64)  # type: ignore[attr-defined]


def test_the_rule_for_masks() -> None:
    masks = []
    for rule in (False, True):
        files = RequestFiles(LIMITS, transparent_is_inside=rule)
        mask = files.readers.mask(file_of(half()), "mask")
        masks.append(np.asarray(Image.open(io.BytesIO(mask.png))))
    assert masks[0][0, 0] == masks[1][0, 15] == 255
    assert masks[0][0, 15] == masks[1][0, 0] == 0


@pytest.mark.parametrize("kind", ["picture", "mask", "photo", "embedding"])
@pytest.mark.parametrize(
    ("value", "codes"),
    [
        ("file:other", {"invalid_value"}),
        ("file:../photo", {"invalid_value"}),
        ("http://example.org/a", {"url_not_allowed"}),
        ("https://example.org/a", {"url_not_allowed"}),
        ("AAAA", {"bad_image", "bad_identity"}),
        ("A", {"bad_base64"}),
        (7, {"invalid_value"}),
    ],
)
def test_what_cannot_be_read_is_not_kept(kind: str, value: object, codes: set[str]) -> None:
    files = RequestFiles(LIMITS, parts={"photo": b"x"})
    with pytest.raises(ApiError) as caught:
        getattr(files.readers, kind)(value, "people[0].field")
    assert caught.value.code in codes
    assert caught.value.param == "people[0].field"
    assert files.contents == {}


def test_without_a_form_there_are_no_parts() -> None:
    with pytest.raises(ApiError) as caught:
        RequestFiles(LIMITS).readers.photo("file:photo", "photo")
    assert caught.value.code == "url_not_allowed"


def test_allowed_addresses_are_fetched_for_pictures_only() -> None:
    files = RequestFiles(LIMITS, fetch=lambda url, param: file_of(noise()))
    for read in (files.readers.picture, files.readers.photo):
        assert read("https://example.org/a", "photo").width == 24
    with pytest.raises(ApiError) as caught:
        files.readers.embedding("https://example.org/a", "embedding")
    assert caught.value.code == "url_not_allowed"


def test_the_limit_of_an_identity_file_is_to_the_byte() -> None:
    content = IDENTITY + b"\0" * (MAX_EMBEDDING_BYTES - len(IDENTITY))
    read = RequestFiles(LIMITS).readers.embedding
    assert read(content, "embedding").sha256 == hashlib.sha256(IDENTITY).hexdigest()
    with pytest.raises(ApiError) as caught:
        read(content + b"\0", "embedding")
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("dtype", ["f16", "f32"])
def test_of_an_identity_file_the_numbers_stay_and_nothing_else(dtype: str) -> None:
    identity = Identity(
        np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32), None, {"created": "now"}
    )
    texts = {"person.photos": '["rose at home.jpg"]'}
    arrays = {"person.preview": np.ones(1000, np.int8)}
    files = RequestFiles(LIMITS)
    kept = files.readers.embedding(
        identity_bytes(identity, dtype, texts, arrays) + b"<script>", "embedding"
    )
    content = files.contents[kept.sha256]
    assert content == identity.to_bytes(dtype)
    assert b"rose at home" not in content


@pytest.mark.parametrize("content", [IDENTITY[:-30], b"GGUF", file_of(noise()), IDENTITY[:40]])
def test_what_is_no_identity_file(content: bytes) -> None:
    with pytest.raises(ApiError, match=r"^embedding: ") as caught:
        RequestFiles(LIMITS).readers.embedding(content, "embedding")
    assert caught.value.code == "bad_identity"


def test_a_mask_is_changed_in_the_field_that_is_named() -> None:
    files = RequestFiles(LIMITS)
    files.change_mask("mask", MaskChange(invert=True))
    mask = Image.new("L", (16, 16), 255)
    mask.paste(0, (8, 0, 16, 16))
    plain = files.readers.mask(file_of(mask), "people[0].region.mask")
    changed = files.readers.mask(file_of(mask), "mask")
    assert set(files.contents) == {plain.sha256, changed.sha256}
    with Image.open(io.BytesIO(files.contents[changed.sha256])) as image:
        assert (image.getpixel((0, 0)), image.getpixel((15, 0))) == (0, 255)
    with pytest.raises(ApiError, match=r"^mask: the mask is white everywhere, and inverted"):
        files.readers.mask(file_of(Image.new("L", (16, 16), 255)), "mask")
