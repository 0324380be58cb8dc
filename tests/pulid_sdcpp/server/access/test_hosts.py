"""Host and Origin: what a server answers to, and whose pages may use it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.server.access.hosts import (
    HostRules,
    Origin,
    check_cookie_use,
    check_host,
    check_origin,
    cors_headers,
    host_rules,
    preflight_headers,
)
from pulid_sdcpp.server.errors import ApiError

HERE = host_rules(host="127.0.0.1", is_loopback=True)
EVERYWHERE = host_rules(
    host="0.0.0.0",
    is_loopback=False,
    allow_host=["Pictures.LAN.", "2001:DB8:0::1"],
    cors_origin=["https://Example.org/", "http://example.org:8080", "tauri://localhost"],
    public_url="https://pulid.example:443/pulid",
)
NAMED = host_rules(host="pc.lan", is_loopback=False)


@pytest.mark.parametrize(
    ("host", "here", "everywhere"),
    [
        ("localhost", True, True),
        ("localhost:7860", True, True),
        ("LOCALHOST.:1", True, True),
        ("127.0.0.1:7860", True, True),
        ("127.9.9.9", True, True),
        ("[::1]:7860", True, True),
        ("[::ffff:127.0.0.1]", True, True),
        ("192.168.1.5:7860", False, True),
        ("[2001:db8::1]", False, True),
        ("[2001:db8::2]:7860", False, True),
        ("0.0.0.0:7860", False, True),
        ("pictures.lan", False, True),
        ("pulid.example", False, True),
        ("evil.example", False, False),
        ("evil.example:7860", False, False),
        ("localhost.evil.example", False, False),
        ("127.0.0.1.evil.example", False, False),
        ("127.0.0.1@evil.example", False, False),
        ("evil.example#localhost", False, False),
        ("localhost:7860:1", False, False),
        ("localhost:port", False, False),
        ("127.1", False, False),
        ("0x7f000001", False, False),
        ("2001:db8::1", False, False),
        ("[localhost]", False, False),
        ("[127.0.0.1]", False, False),
        ("[::1", False, False),
        ("", False, False),
        (None, False, False),
    ],
)
def test_a_server_answers_to_its_names(host: str | None, here: bool, everywhere: bool) -> None:
    for rules, is_right in ((HERE, here), (EVERYWHERE, everywhere)):
        if is_right:
            check_host(rules, host)
        else:
            with pytest.raises(ApiError) as caught:
                check_host(rules, host)
            assert (caught.value.code, caught.value.status) == ("wrong_host", 421)


def test_the_name_it_is_bound_to_is_one() -> None:
    check_host(NAMED, "PC.lan:7860")
    with pytest.raises(ApiError):
        check_host(HERE, "pc.lan")


@pytest.mark.parametrize(
    ("rules", "origin", "host", "expected"),
    [
        (HERE, None, "localhost:7860", "none"),
        (HERE, "http://localhost:7860", "localhost:7860", "own"),
        (HERE, "http://LOCALHOST:7860", "localhost:7860", "own"),
        (HERE, "http://[::1]:7860", "[::1]:7860", "own"),
        (HERE, "http://127.0.0.1", "127.0.0.1:80", "own"),
        (HERE, "https://127.0.0.1", "127.0.0.1", "own"),
        (HERE, "http://127.0.0.1", "127.0.0.1:443", None),
        (HERE, "http://localhost:3000", "localhost:7860", None),
        (HERE, "http://127.0.0.1:7860", "localhost:7860", None),
        (HERE, "https://evil.example", "localhost:7860", None),
        (HERE, "http://localhost:7860.evil.example", "localhost:7860", None),
        (HERE, "http://localhost:7860@evil.example", "localhost:7860", None),
        (HERE, "null", "localhost:7860", None),
        (HERE, "", "localhost:7860", None),
        (HERE, "file://", "localhost:7860", None),
        (HERE, "chrome-extension://abcdef", "localhost:7860", None),
        (EVERYWHERE, "https://pulid.example", "127.0.0.1:7860", "own"),
        (EVERYWHERE, "http://pulid.example", "127.0.0.1:7860", None),
        (EVERYWHERE, "https://example.org", "192.168.1.5:7860", "listed"),
        (EVERYWHERE, "https://example.org:443", "192.168.1.5:7860", "listed"),
        (EVERYWHERE, "http://example.org:8080", "192.168.1.5:7860", "listed"),
        (EVERYWHERE, "http://example.org", "192.168.1.5:7860", None),
        (EVERYWHERE, "https://sub.example.org", "192.168.1.5:7860", None),
        (EVERYWHERE, "tauri://localhost", "192.168.1.5:7860", "listed"),
        (EVERYWHERE, "null", "192.168.1.5:7860", None),
        (EVERYWHERE, "https://evil.example", None, None),
    ],
)
def test_foreign_pages_may_nothing(
    rules: HostRules, origin: str | None, host: str | None, expected: Origin | None
) -> None:
    if expected is not None:
        assert check_origin(rules, origin, host) == expected
        return
    with pytest.raises(ApiError) as caught:
        check_origin(rules, origin, host)
    assert (caught.value.code, caught.value.status) == ("forbidden", 403)


@given(st.text(alphabet="evil.example:0123456789[]@/\\#?%-_ \t\nLocalhost\0é"))
def test_no_header_breaks_it(text: str) -> None:
    for rules in (HERE, EVERYWHERE):
        with contextlib.suppress(ApiError):
            check_host(rules, text)
        with contextlib.suppress(ApiError):
            check_origin(rules, f"http://{text}", text)
        with pytest.raises(ApiError):
            check_origin(rules, f"https://x{text}", "localhost")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("origin", ["none", "own", "listed"])
def test_a_session_reads(method: str, origin: Origin) -> None:
    check_cookie_use(method, origin)


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT", "ANYTHING"])
def test_a_session_changes_from_our_own_page_only(method: str) -> None:
    check_cookie_use(method, "own")
    for origin in ("none", "listed"):
        with pytest.raises(ApiError, match="own page"):
            check_cookie_use(method, origin)


def test_only_listed_pages_read_answers() -> None:
    listed = cors_headers("listed", "https://example.org")
    assert listed["Access-Control-Allow-Origin"] == "https://example.org"
    assert "X-Pulid-Job" in listed["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in listed
    assert cors_headers("own", "http://localhost:7860") == {"Vary": "Origin"}
    assert cors_headers("none", None) == {"Vary": "Origin"}


def test_a_preflight_allows_what_a_listed_page_asks_for() -> None:
    wanted = "authorization, content-type,x-stainless-os"
    answer = preflight_headers(
        "listed",
        "https://example.org",
        {
            "access-control-request-headers": wanted,
            "access-control-request-private-network": "true",
        },
    )
    assert answer["Access-Control-Allow-Headers"] == wanted
    assert "DELETE" in answer["Access-Control-Allow-Methods"]
    assert answer["Access-Control-Allow-Private-Network"] == "true"
    assert answer["Access-Control-Allow-Origin"] == "https://example.org"


@pytest.mark.parametrize("wanted", ["", "a\r\nb: c", "a;b", "x" * 101])
def test_a_preflight_allows_no_nonsense(wanted: str) -> None:
    answer = preflight_headers(
        "listed", "https://example.org", {"access-control-request-headers": wanted}
    )
    assert "Access-Control-Allow-Headers" not in answer
    assert "Access-Control-Allow-Private-Network" not in answer


def test_options_without_an_origin_is_a_ping() -> None:
    answer = preflight_headers("none", None, {"access-control-request-headers": "x"})
    assert set(answer) == {"Allow", "Vary"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("allow_host", ["https://example.org"]),
        ("allow_host", ["example.org:80"]),
        ("allow_host", ["*.example.org"]),
        ("allow_host", ["-example.org"]),
        ("allow_host", [""]),
        ("cors_origin", ["*"]),
        ("cors_origin", ["null"]),
        ("cors_origin", ["example.org"]),
        ("cors_origin", ["https://example.org/page"]),
        ("cors_origin", ["https://user@example.org"]),
        ("public_url", "example.org"),
        ("public_url", "ftp://example.org"),
        ("public_url", "https://example.org/?a"),
        ("public_url", "https://[::1"),
        ("public_url", "https://user:password@example.org"),
        ("public_url", "https://example.org:port"),
        ("host", "http://localhost"),
    ],
)
def test_a_wrong_setting_is_named(option: str, value: object) -> None:
    given = {"host": "127.0.0.1", "is_loopback": True, option: value}
    with pytest.raises(ValueError, match=f"^{option} is "):
        host_rules(**given)  # type: ignore[arg-type]
