"""Beyond this computer only with a key."""

from __future__ import annotations

import pytest

from pulid_sdcpp.server.access.binding import addresses_to_bind, is_loopback

NAMES = {
    "localhost": ["127.0.0.1", "::1", "127.0.0.1"],
    "pc.lan": ["192.168.1.5"],
    "pc": ["127.0.1.1"],
    "both": ["127.0.0.1", "192.168.1.5"],
}


def resolve(host: str) -> list[str]:
    if host == "nowhere":
        raise OSError
    if host == "x" * 64:
        raise UnicodeError
    return NAMES.get(host, [host])


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("127.8.9.1", ("127.8.9.1",)),
        ("::1", ("::1",)),
        ("localhost", ("127.0.0.1", "::1")),
        ("pc", ("127.0.1.1",)),
        ("::ffff:127.0.0.1", ("::ffff:127.0.0.1",)),
    ],
)
@pytest.mark.parametrize("has_key", [True, False])
def test_this_computer_needs_no_key(host: str, addresses: tuple[str, ...], has_key: bool) -> None:
    assert addresses_to_bind(host, has_key=has_key, resolve=resolve) == addresses


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "fe80::1%eth0", "pc.lan", "both", "::ffff:10.0.0.1"]
)
def test_anywhere_else_needs_one(host: str) -> None:
    with pytest.raises(ValueError, match="needs a key") as caught:
        addresses_to_bind(host, has_key=False, resolve=resolve)
    assert "\n" not in str(caught.value)
    assert "chmod 600" in str(caught.value)
    assert addresses_to_bind(host, has_key=True, resolve=resolve)


@pytest.mark.parametrize("host", ["", "nowhere", "x" * 64])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ValueError, match=r"host is .* but must be an address"):
        addresses_to_bind(host, has_key=True, resolve=resolve)


def test_the_system_knows_addresses() -> None:
    assert addresses_to_bind("127.0.0.1", has_key=False) == ("127.0.0.1",)


def test_a_name_is_no_loopback_address() -> None:
    assert not is_loopback("localhost")
