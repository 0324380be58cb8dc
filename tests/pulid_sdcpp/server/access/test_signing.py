"""Sessions, signed addresses, and the secret behind them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from pulid_sdcpp.errors import OutputFileError
from pulid_sdcpp.server.access.api_keys import ApiKeys, keys_in_text
from pulid_sdcpp.server.access.signing import (
    PICTURE_S,
    SESSION_S,
    clearing_cookie,
    is_signed_picture,
    load_secret,
    new_session,
    picture_query,
    session_cookie,
    session_key,
)

SECRET = bytes(range(32))
KEYS = keys_in_text("rose.b 3fJk9sLq0Zx7Yw2V\ntom! bN8vC1mK6tR4pQ0s", "keys")
ROSE, TOM = KEYS.keys
NOW = 1_800_000_000.5
PICTURE = "job_01-0"


def test_a_session_is_its_owner_s_until_it_ends() -> None:
    value = new_session(SECRET, ROSE, NOW)
    assert session_key(SECRET, KEYS, value, NOW) is ROSE
    assert session_key(SECRET, KEYS, value, NOW + SESSION_S - 1) is ROSE
    assert session_key(SECRET, KEYS, value, NOW + SESSION_S) is None


def test_nobody_makes_a_session_of_another_s() -> None:
    owner, expires, signature = new_session(SECRET, ROSE, NOW).rsplit(".", 2)
    for value in (
        f"tom.{expires}.{signature}",
        f"{owner}.{int(expires) + 1}.{signature}",
        f"{owner}.{expires}.{signature[:-1]}",
        f"{owner}.{expires}.é",
        f"{owner}.+{expires}.{signature}",
        f"{owner}.{expires}.",
        f"{owner}.{'9' * 5000}.{signature}",
        "",
        "..",
    ):
        assert session_key(SECRET, KEYS, value, NOW) is None, value
    assert session_key(bytes(32), KEYS, f"{owner}.{expires}.{signature}", NOW) is None


def test_a_session_ends_when_its_key_is_removed() -> None:
    value = new_session(SECRET, ROSE, NOW)
    assert session_key(SECRET, ApiKeys((TOM,)), value, NOW) is None
    other = keys_in_text("rose.b another-key-of-hers", "keys")
    assert session_key(SECRET, other, value, NOW) is None


def test_the_cookie_is_not_for_scripts_nor_for_other_sites() -> None:
    assert session_cookie("v", secure=False) == (
        f"pulid_session=v; Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict"
    )
    assert session_cookie("v", secure=True, path="/pulid").endswith("; Secure")
    assert "Path=/pulid;" in session_cookie("v", secure=True, path="/pulid")
    assert "Max-Age=0;" in clearing_cookie(secure=False)


def test_an_address_is_good_for_one_picture_for_an_hour() -> None:
    query = {
        name: values[0] for name, values in parse_qs(picture_query(SECRET, PICTURE, NOW)).items()
    }
    assert is_signed_picture(SECRET, PICTURE, **query, now=NOW + PICTURE_S - 1)
    assert not is_signed_picture(SECRET, PICTURE, **query, now=NOW + PICTURE_S)
    assert not is_signed_picture(SECRET, "job_01-1", **query, now=NOW)
    assert not is_signed_picture(bytes(32), PICTURE, **query, now=NOW)
    later = {**query, "expires": str(int(query["expires"]) + 1)}
    assert not is_signed_picture(SECRET, PICTURE, **later, now=NOW)
    for wrong in ("", "x", "é", "-1", "1e9"):
        assert not is_signed_picture(SECRET, PICTURE, **{**query, "expires": wrong}, now=NOW)
        assert not is_signed_picture(SECRET, PICTURE, **{**query, "signature": wrong}, now=NOW)


def test_a_session_is_no_address() -> None:
    _, expires, signature = new_session(SECRET, ROSE, NOW).rsplit(".", 2)
    assert not is_signed_picture(SECRET, ROSE.owner, expires, signature, NOW)


def test_the_secret_stays_the_same(tmp_path: Path) -> None:
    secret = load_secret(tmp_path)
    assert len(secret) == 32
    assert load_secret(tmp_path) == secret
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_only_the_user_can_read_the_secret(tmp_path: Path) -> None:
    secret = load_secret(tmp_path)
    path = tmp_path / "secret"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert load_secret(tmp_path) != secret
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damaged", [b"", bytes(31), bytes(33)])
def test_a_damaged_secret_is_made_anew(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(damaged)
    path.chmod(0o600)
    secret = load_secret(tmp_path)
    assert len(secret) == 32
    assert path.read_bytes() == secret


def test_another_process_may_be_faster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "secret"

    def token_bytes(count: int) -> bytes:
        path.write_bytes(SECRET)
        path.chmod(0o600)
        return bytes(count)

    monkeypatch.setattr("secrets.token_bytes", token_bytes)
    assert load_secret(tmp_path) == SECRET


def test_what_is_no_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    with pytest.raises(OutputFileError, match=r"cannot read .*found a folder"):
        load_secret(tmp_path)
