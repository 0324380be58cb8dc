"""Headers of every answer."""

from __future__ import annotations

import pytest

from pulid_sdcpp.server.access.answer_headers import ANSWER_HEADERS, request_id


def test_a_client_s_id_is_kept() -> None:
    assert request_id("Trace-1._x") == "Trace-1._x"
    assert request_id("a" * 64) == "a" * 64


@pytest.mark.parametrize("given", [None, "", "a" * 65, "a b", "a\r\nSet-Cookie: x", "a\n", "é"])
def test_what_is_no_id_is_replaced(given: str | None) -> None:
    new = request_id(given)
    assert new.startswith("req_")
    assert request_id(new) == new
    assert request_id(given) != new


def test_browsers_guess_nothing_and_tell_nothing() -> None:
    assert ANSWER_HEADERS["X-Content-Type-Options"] == "nosniff"
    assert ANSWER_HEADERS["Referrer-Policy"] == "no-referrer"
    assert ANSWER_HEADERS["Cross-Origin-Resource-Policy"] == "same-origin"
