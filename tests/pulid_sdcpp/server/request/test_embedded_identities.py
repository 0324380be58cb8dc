"""Identity files that come along fit the model, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.request.embedded_identities import check_embeddings
from pulid_sdcpp.server.request.normal_request import NormalRequest
from pulid_sdcpp.server.request.person_fields import PersonFields
from server_requests import KeptText


def request_with(*encoders: str) -> tuple[NormalRequest, dict[str, bytes]]:
    """A request with an identity file of each encoder, and what came along."""
    people, contents = [], {}
    for encoder in encoders:
        kept = KeptText(encoder)
        contents[kept.sha256] = Identity.from_array(
            np.full((4, 8), 0.5, np.float32), encoder=encoder
        ).to_bytes()
        people.append(PersonFields(embedding=kept))
    return NormalRequest("dev", {"prompt": "x", "seed": 1}, people=tuple(people)), contents


def test_one_that_fits_passes() -> None:
    check_embeddings(*request_with("flux"), ("flux",))
    check_embeddings(*request_with("sdxl-v1", "sdxl-v1.1"), ("sdxl-v1", "sdxl-v1.1"))
    check_embeddings(*request_with("sdxl-v1"), ())  # a model without PuLID weights refuses by name
    request, _ = request_with()
    check_embeddings(request, {}, ("flux",))


@pytest.mark.parametrize(
    ("given", "param"),
    [(["sdxl-v1"], "embedding"), (["flux", "sdxl-v1"], "people[1].embedding")],
)
def test_one_of_other_models_is_refused_with_what_to_do(given: Any, param: str) -> None:
    with pytest.raises(ApiError) as error:
        check_embeddings(*request_with(*given), ("flux",))
    assert (error.value.code, error.value.param) == ("invalid_value", param)
    assert error.value.message == (
        f"{param} is for SDXL v1, but 'dev' needs an identity for Flux; make one of the same "
        "photos with that model, or choose another model"
    )
