"""Bodies of our own endpoints: a field that is not known is an error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ...terminal_text import meant, shown
from ..errors import ApiError

__all__ = ["check_fields"]


def check_fields(values: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a field that an endpoint does not have.

    Raises:
        ApiError: "unknown_field"; says which may be meant.
    """
    for name in values:
        if name not in known:
            text = f"there is no field {shown(name)}; {meant(name, sorted(known))}"
            raise ApiError("unknown_field", text, name)
