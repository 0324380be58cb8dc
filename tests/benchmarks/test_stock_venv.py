from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import stock_venv

PYTHON = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A venv that is there; nothing may be installed in it."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("something was installed")

    monkeypatch.setattr(subprocess, "run", refuse)
    (tmp_path / PYTHON).parent.mkdir()
    (tmp_path / PYTHON).touch()
    return tmp_path


def test_a_venv_with_the_package_is_used_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_venv, "_installed_version", lambda python: "0.4.7")
    assert stock_venv.stock_python(folder) == folder / PYTHON


def test_another_version_is_not_what_is_compared_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_venv, "_installed_version", lambda python: "0.4.6")
    with pytest.raises(RuntimeError, match=r"has version 0\.4\.6 of it, not 0\.4\.7"):
        stock_venv.stock_python(folder)
