from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp import ModelFileError
from pulid_sdcpp.system.user_config import CONFIG_NAME, load_user_config


def test_no_config_file_is_an_empty_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PULID_SDCPP_CONFIG", str(tmp_path / "none"))
    config = load_user_config()
    assert config.path == tmp_path / "none" / CONFIG_NAME
    assert (config.models_dirs, config.files, config.presets, config.licenses) == ((), {}, {}, {})


def test_folders_are_whole_or_beside_the_config_file(tmp_path: Path) -> None:
    path = tmp_path / CONFIG_NAME
    path.write_text(f"models_dirs = ['{tmp_path / 'a'}', 'b', '~/c']", encoding="utf-8-sig")
    assert load_user_config(path).models_dirs == (
        tmp_path / "a",
        tmp_path / "b",
        Path("~/c").expanduser(),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"models_dirs = ", "expected a config file in TOML"),
        (b"\xff\xfe\x00", "expected a config file in TOML"),
        (
            b"models_dir = 'x'",
            "models_dir is unknown; there are models_dirs, wildcards_dirs, files",
        ),
        (b"models_dirs = 'x'", "models_dirs must be a list of folders"),
        (b"models_dirs = ['']", "models_dirs must be a list of folders"),
        (b"files = 1", "files must be tables"),
        (b"server = 1", "server must be a table"),
        (b"files = " + b"[" * 5000, "too deeply nested"),
        (b"files = " + b"{a = " * 5000, "too deeply nested"),
        (b"models_dirs = ['~nosuchuser/x']", "there is no home folder for ~nosuchuser"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / CONFIG_NAME
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as raised:
        load_user_config(path)
    assert str(path) in str(raised.value)


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot read the config file"):
        load_user_config(tmp_path)
