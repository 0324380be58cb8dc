"""Identity files that come along with a request: whether its model takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...identity.encoder import models_of_encoder
from ...identity.identity_file import Identity
from ...terminal_text import alternatives, shown
from ..errors import ApiError
from .normal_request import NormalRequest

__all__ = ["check_embeddings"]


def check_embeddings(
    request: NormalRequest, contents: Mapping[str, bytes], encoders: Sequence[str]
) -> None:
    """Refuse an identity file of other models before the job is put in line.

    Args:
        request: As `normalised` gave it.
        contents: What came along, by hash.
        encoders: Whose identities the model takes; none: it is not known, and all pass.

    Raises:
        ApiError: "invalid_value", in the field of the first that does not fit.
    """
    for number, person in enumerate(request.people):
        if person.embedding is None or not encoders:
            continue
        encoder = Identity.from_bytes(contents[person.embedding.sha256]).encoder
        if encoder not in encoders:
            param = f"people[{number}].embedding" if len(request.people) > 1 else "embedding"
            wanted = alternatives(list(map(models_of_encoder, encoders)))
            raise ApiError(
                "invalid_value",
                f"{param} is for {models_of_encoder(encoder)}, but {shown(request.model)} needs an "
                f"identity for {wanted}; make one of the same photos with that model, or choose "
                "another model",
                param,
            )
