"""Key files: what they may say, and that no message has a key in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pulid_sdcpp.server.access.api_keys import LOCAL, ApiKeys, keys_in_text, read_key_file

ROSE, TOM, ANYBODY = "3fJk9sLq0Zx7Yw2V", "bN8vC1mK6tR4pQ0s", "0123456789abcdef"
TEXT = f"# friends\n\nrose {ROSE}\n\ttom!  {TOM} \r\n{ANYBODY}\n"


def test_a_line_is_a_key_or_a_name_and_a_key() -> None:
    keys = keys_in_text(TEXT, "keys")
    found = [(key.owner, key.is_admin) for key in keys.keys]
    assert found == [("rose", False), ("tom", True), (LOCAL, True)]
    assert [keys.find(key).owner for key in (ROSE, TOM, ANYBODY)] == ["rose", "tom", LOCAL]  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", ["", ROSE[:-1], f"{ROSE} ", ROSE.lower(), "ключ", "\udcff"])
def test_another_key_is_nobody_s(wrong: str) -> None:
    assert keys_in_text(TEXT, "keys").find(wrong) is None


def test_somebody_may_have_two_keys() -> None:
    keys = keys_in_text(f"rose {ROSE}\nrose {TOM}", "keys")
    assert len(list(keys.of_owner("rose"))) == 2


def test_every_key_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(a) or real(a, b))
    keys_in_text(TEXT, "keys").find(ROSE)
    assert len(compared) == 3


def test_none_is_an_open_server() -> None:
    assert not ApiKeys()
    assert ApiKeys().find("anything") is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "there is no key"),
        ("# only this\n", "there is no key"),
        (f"rose {ROSE[:15]}", "15 characters"),
        (f"\nrose {ROSE} more", "line 2: expected KEY or NAME KEY, found 3 words"),
        (f"{ROSE}! rose", "4 characters"),
        (f"ro/se {ROSE}", "a name has"),
        (f"! {ROSE}", "a name has"),
        (f"{'r' * 65} {ROSE}", "a name has"),
        (f"rose {ROSE}é", "ASCII"),
        (f"rose {'k' * 513}", "513 characters"),
        (f"rose {ROSE}\ntom {ROSE}", "line 2: the key is in an earlier line"),
        (f"rose {ROSE}\nRose {TOM}", "differs in case only"),
    ],
)
def test_a_wrong_line_is_named_without_its_key(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        keys_in_text(text, "keys.txt")
    assert str(caught.value).startswith("keys.txt")
    assert ROSE[:10] not in str(caught.value)


def test_a_key_is_not_in_a_log() -> None:
    keys = keys_in_text(TEXT, "keys")
    assert ROSE not in repr(keys)
    assert keys.keys[0].digest.hex() not in repr(keys)


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "keys"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_as_people_s_programs_write_it(tmp_path: Path, encoding: str) -> None:
    keys = read_key_file(key_file(tmp_path, TEXT.encode(encoding)))
    assert keys == keys_in_text(TEXT, "keys")


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, TEXT.encode(), mode)
    with pytest.raises(ValueError, match=f"api_key_file: .*chmod 600 {path}"):
        read_key_file(path)


def test_what_is_no_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"api_key_file: .*cannot read"):
        read_key_file(tmp_path / "none")
    with pytest.raises(ValueError, match="found a folder"):
        read_key_file(tmp_path)
    with pytest.raises(ValueError, match="UTF-8"):
        read_key_file(key_file(tmp_path, b"rose \xff\xfe\xfd"))
    with pytest.raises(ValueError, match="more than 1 MiB"):
        read_key_file(key_file(tmp_path, b"#" * (1 << 20) + b"\n"))


def test_too_many_keys() -> None:
    text = "\n".join(f"key-number-{number:05}" for number in range(1001))
    with pytest.raises(ValueError, match="1001 keys; 1000 are the most"):
        keys_in_text(text, "keys")
