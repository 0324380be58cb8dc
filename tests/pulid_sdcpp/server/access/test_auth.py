"""Who a request is from, and who is sent away."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.server.access.api_keys import ApiKeys, keys_in_text
from pulid_sdcpp.server.access.auth import Auth, Caller, FailedKeys, is_open, presented_keys
from pulid_sdcpp.server.errors import ApiError

ROSE, TOM = "3fJk9sLq0Zx7Yw2V", "bN8vC1mK6tR4pQ0s"
KEYS = keys_in_text(f"rose {ROSE}\ntom! {TOM}", "keys")
HERE = "192.0.2.7"


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def new_auth() -> Auth:
    return Auth(KEYS, bytes(32))


def caller(auth: Auth, address: str = HERE, clock: float = 0.0, **headers: str) -> Caller:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return auth.caller(given, address=address, now=1000.0, clock=clock)


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ({}, ()),
        ({"authorization": ""}, ()),
        ({"authorization": "Bearer"}, ()),
        ({"authorization": "Bearer "}, ()),
        ({"authorization": f"Bearer {ROSE}"}, (ROSE,)),
        ({"authorization": f"bearer   {ROSE} "}, (ROSE,)),
        ({"authorization": "Digest x=y"}, ()),
        ({"x-api-key": f" {ROSE}"}, (ROSE,)),
        ({"authorization": basic(f"user:{ROSE}")}, (ROSE,)),
        ({"authorization": basic(f":{ROSE}")}, (ROSE,)),
        ({"authorization": basic(f"user:{ROSE}:x")}, (f"{ROSE}:x",)),
        ({"authorization": basic(ROSE)}, (ROSE,)),
        ({"authorization": basic("user:")}, ()),
        ({"authorization": "Basic %%"}, ("%%",)),
        ({"authorization": "Basic /w=="}, ("/w==",)),
        ({"authorization": "Bearer proxy", "x-api-key": ROSE}, ("proxy", ROSE)),
    ],
)
def test_keys_of_every_client(headers: dict[str, str], keys: tuple[str, ...]) -> None:
    assert presented_keys(headers) == keys


def test_a_key_says_who_calls() -> None:
    auth = new_auth()
    assert caller(auth, authorization=f"Bearer {ROSE}") == Caller("rose", is_admin=False)
    assert caller(auth, x_api_key=TOM) == Caller("tom", is_admin=True)
    assert caller(auth, authorization=basic(f"u:{TOM}")) == Caller("tom", is_admin=True)
    assert caller(auth, authorization="Bearer x", x_api_key=TOM).owner == "tom"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {ROSE}x"},
        {"x_api_key": "k" * 100_000},
        {"cookie": "pulid_session=rose.9999999999.x"},
        {"cookie": "other=1; pulid_session="},
    ],
)
def test_nobody_else_comes_in(headers: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        caller(new_auth(), **headers)
    assert caught.value.code == "unauthorized"


def test_without_keys_everybody_is_local_and_may_do_everything() -> None:
    auth = Auth(ApiKeys(), bytes(32))
    assert caller(auth, authorization="Bearer whatever") == Caller("local", is_admin=True)
    assert auth.log_in("", address=HERE, now=0, clock=0) == (Caller("local", is_admin=True), "")


def test_the_page_logs_in_once() -> None:
    auth = new_auth()
    who, value = auth.log_in(f" {ROSE}\n", address=HERE, now=1000.0, clock=0)
    assert who == Caller("rose", is_admin=False, by_cookie=True)
    other = 'a={"b": "c; pulid_session=no; '
    assert caller(auth, cookie=f"{other}pulid_session={value}") == who
    assert caller(auth, cookie=f"pulid_session={value}", x_api_key=TOM).owner == "tom"


def test_a_link_logs_in_once_as_an_administrator() -> None:
    auth = new_auth()
    token = auth.new_link(0)
    who, value = auth.log_in_by_link(token, address=HERE, now=1000.0, clock=1)
    assert who == Caller("tom", is_admin=True, by_cookie=True)
    assert caller(auth, cookie=f"pulid_session={value}") == who
    with pytest.raises(ApiError, match="was used"):
        auth.log_in_by_link(token, address=HERE, now=1000.0, clock=1)
    for number in range(9):
        with pytest.raises(ApiError, match="was used"):
            auth.log_in_by_link(f"guess {number}", address=HERE, now=1000.0, clock=2)
    with pytest.raises(ApiError, match="10 wrong keys"):
        auth.log_in_by_link(auth.new_link(3), address=HERE, now=1000.0, clock=3)


def test_a_server_without_keys_needs_no_link() -> None:
    auth = Auth(ApiKeys(), bytes(32))
    assert auth.new_link(0) == ""
    who, value = auth.log_in_by_link("", address=HERE, now=0, clock=0)
    assert (who.owner, value) == ("local", "")


@given(st.text(), st.text(), st.text())
def test_no_header_breaks_it(authorization: str, key: str, cookie: str) -> None:
    headers = {"authorization": authorization, "x-api-key": key, "cookie": cookie}
    for scheme in ("", "Basic ", "Bearer "):
        headers["authorization"] = scheme + authorization
        with pytest.raises(ApiError):
            new_auth().caller(headers, address=key, now=0, clock=0)


def test_ten_wrong_keys_a_minute() -> None:
    auth = new_auth()
    _, session = auth.log_in(ROSE, address=HERE, now=1000.0, clock=0)
    for second in range(10):
        with pytest.raises(ApiError, match="wrong"):
            caller(auth, clock=second, authorization=f"Bearer wrong{second}")
    with pytest.raises(ApiError) as caught:
        caller(auth, clock=20, authorization=f"Bearer {ROSE}")  # else guessing would go on
    assert caught.value.code == "too_many_attempts"
    assert caught.value.headers == {"Retry-After": "41"}
    with pytest.raises(ApiError, match="10 wrong keys"):
        auth.log_in(ROSE, address=HERE, now=0, clock=20)
    assert caller(auth, clock=20, cookie=f"pulid_session={session}").owner == "rose"
    assert caller(auth, address="192.0.2.8", clock=20, x_api_key=ROSE).owner == "rose"
    assert caller(auth, clock=61, x_api_key=ROSE).owner == "rose"


def test_a_proxy_s_password_beside_a_session_is_no_wrong_key() -> None:
    auth = new_auth()
    _, session = auth.log_in(ROSE, address=HERE, now=1000.0, clock=0)
    for _ in range(20):
        headers = {"authorization": basic("user:of-the-proxy")}
        who = caller(auth, cookie=f"pulid_session={session}", **headers)
        assert who == Caller("rose", is_admin=False, by_cookie=True)
    assert caller(auth, x_api_key=TOM).owner == "tom"


def test_no_key_is_no_wrong_one() -> None:
    auth = new_auth()
    for _ in range(20):
        with pytest.raises(ApiError, match="a key is needed"):
            caller(auth)
    assert caller(auth, x_api_key=ROSE).owner == "rose"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("unix", "unix", True),
    ],
)
def test_a_caller_has_a_whole_network_of_ipv6(one: str, other: str, is_same: bool) -> None:
    failed = FailedKeys()
    for _ in range(10):
        failed.add(one, 0)
    if is_same:
        with pytest.raises(ApiError):
            failed.check(other, 0)
    else:
        failed.check(other, 0)


def test_many_addresses_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulid_sdcpp.server.access.auth._MAX_ADDRESSES", 3)
    failed = FailedKeys()
    for number in range(10):
        failed.add(f"192.0.2.{number}", 0)
    assert len(failed._times) == 3
    failed.check("192.0.2.9", 1000)
    assert len(failed._times) == 2


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/health", True),
        ("HEAD", "/health", True),
        ("POST", "/health", False),
        ("GET", "/ready", False),
        ("OPTIONS", "/v1/images/generations", True),
        ("GET", "/openapi.json", True),
        ("GET", "/docs", True),
        ("GET", "/docs/swagger.js", True),
        ("GET", "/docs/../metrics", False),
        ("GET", "/docs//metrics", False),
        ("GET", "/documents", False),
        ("GET", "/ui/login", True),
        ("POST", "/ui/login", True),
        ("POST", "/ui/login/", False),
        ("GET", "/ui/other", False),
        ("GET", "/metrics", False),
        ("GET", "/", False),
        ("GET", "/v1/models", False),
        ("get", "/health", False),
        ("POST", "/assets/x", False),
    ],
)
def test_what_needs_no_key(method: str, path: str, expected: bool) -> None:
    assert is_open(method, path) is expected


def test_metrics_are_open_where_that_is_wanted() -> None:
    assert is_open("GET", "/metrics", open_metrics=True)
    assert not is_open("POST", "/metrics", open_metrics=True)
    assert not is_open("GET", "/v1/models", open_metrics=True)
