"""Links that log in once."""

from __future__ import annotations

import pytest

from pulid_sdcpp.server.access.api_keys import ApiKeys, keys_in_text
from pulid_sdcpp.server.access.login_links import LINK_S, LoginLinks

KEYS = keys_in_text("rose 3fJk9sLq0Zx7Yw2V\ntom! bN8vC1mK6tR4pQ0s", "keys")


def test_a_link_is_used_up() -> None:
    links = LoginLinks()
    token = links.new(KEYS, 0)
    assert links.take(token + "x", 1) is None
    assert links.take(token, 1) is KEYS.keys[1]
    assert links.take(token, 1) is None


def test_without_an_administrator_it_is_somebody_s() -> None:
    links = LoginLinks()
    keys = ApiKeys(KEYS.keys[:1])
    assert links.take(links.new(keys, 0), 1) is keys.keys[0]


def test_an_old_link_is_none() -> None:
    links = LoginLinks()
    assert links.take(links.new(KEYS, 0), LINK_S - 1) is not None
    assert links.take(links.new(KEYS, 0), LINK_S) is None


def test_without_keys_there_is_none() -> None:
    links = LoginLinks()
    assert links.new(ApiKeys(), 0) == ""
    assert links.take("", 0) is None


def test_they_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulid_sdcpp.server.access.login_links._MAX_LINKS", 2)
    links = LoginLinks()
    first, *others = [links.new(KEYS, 0) for _ in range(3)]
    assert links.take(first, 1) is None
    assert all(links.take(token, 1) for token in others)
