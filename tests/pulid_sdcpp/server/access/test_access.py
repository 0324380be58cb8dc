"""Who may reach a server, decided before it listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp.server.access.access import KEY_VARIABLE, Access, access_of, fetch_host
from pulid_sdcpp.server.access.fetch_url import UrlFetcher
from pulid_sdcpp.server.access.hosts import check_host
from pulid_sdcpp.server.settings import ServerSettings

KEY, OTHER = "3fJk9sLq0Zx7Yw2V", "bN8vC1mK6tR4pQ0s"
WITH_KEY = {KEY_VARIABLE: KEY}


def made(environment: dict[str, str] | None = None, **settings: object) -> Access:
    return access_of(
        ServerSettings(**settings),  # type: ignore[arg-type]
        environment or {},
        lambda host: {"pc.lan": ["192.168.1.5"]}.get(host, [host]),
    )


def test_by_default_this_computer_alone() -> None:
    access = made()
    assert access.addresses == ("127.0.0.1",)
    assert not access.keys
    assert not access.rules.any_address
    assert access.allow_downloads


def test_others_need_a_key() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        made(host="0.0.0.0")
    with pytest.raises(ValueError, match="needs a key"):
        made({KEY_VARIABLE: " "}, host="0.0.0.0")
    access = made(WITH_KEY, host="pc.lan")
    assert access.addresses == ("192.168.1.5",)
    check_host(access.rules, "pc.lan")
    check_host(access.rules, "192.168.1.5:7860")


@pytest.mark.parametrize(
    ("host", "asked", "expected"),
    [
        ("127.0.0.1", None, True),
        ("127.0.0.1", False, False),
        ("0.0.0.0", None, False),
        ("0.0.0.0", True, True),
    ],
)
def test_who_may_download(host: str, asked: bool | None, expected: bool) -> None:
    assert made(WITH_KEY, host=host, allow_downloads=asked).allow_downloads is expected


def test_a_key_file_counts_not_the_variable(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"rose {OTHER}\n", encoding="utf-8")
    path.chmod(0o600)
    keys = made(WITH_KEY, api_key_file=path).keys
    assert keys.find(KEY) is None
    assert keys.find(OTHER) is not None
    assert made(WITH_KEY).keys.find(KEY) is not None


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"allow_fetch": ["https://example.org"]}, "allow_fetch is "),
        ({"allow_fetch": ["localhost"]}, "allow_fetch: .*full name of a host"),
        ({"allow_fetch": ["10.0.0.1"]}, "allow_fetch: .*full name of a host"),
        ({"allow_host": ["a:1"]}, "allow_host is "),
        ({"cors_origin": ["*"]}, "cors_origin is "),
        ({"api_key_file": "no-such-file"}, "api_key_file: "),
    ],
)
def test_a_wrong_setting_is_said_before_anything_listens(
    settings: dict[str, object], wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong):
        made(**settings)


def test_a_short_key_in_the_variable_is_no_key() -> None:
    with pytest.raises(ValueError, match=f"{KEY_VARIABLE}: line 1: the key has 5"):
        made({KEY_VARIABLE: "short"})


def test_hosts_to_fetch_from_are_compared_as_names() -> None:
    assert made(allow_fetch=["Example.ORG."]).fetch_hosts == {"example.org"}
    UrlFetcher([fetch_host("Example.ORG.")], max_bytes=1)  # of each request
