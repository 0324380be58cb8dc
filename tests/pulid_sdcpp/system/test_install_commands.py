"""The commands that are advised work with whatever index, and with a source folder or a wheel."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from pulid_sdcpp.system.install_commands import install_extra_command, reinstall_command

REQUIRES = [
    "numpy>=1.24",
    'torch>=2.2; extra == "extract"',
    "insightface<3,>=2.1; extra == 'extract'",
    'facexlib>=0.3; extra == "reference"',
    'pulid_sdcpp[extract]; extra == "reference"',
]


class Installed:
    def __init__(self, record: object) -> None:
        self.record = record

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.record is None else json.dumps(self.record)


@pytest.mark.parametrize(
    ("extra", "only", "command"),
    [
        ("extract", (), 'pip install "torch>=2.2" "insightface<3,>=2.1"'),
        ("extract", ("torch",), 'pip install "torch>=2.2"'),
        ("reference", ("facexlib",), 'pip install "facexlib>=0.3"'),
        (
            "reference",
            (),
            'pip install "facexlib>=0.3" "torch>=2.2" "insightface<3,>=2.1"',
        ),
    ],
)
def test_an_extra_s_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, extra: str, only: tuple[str, ...], command: str
) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: REQUIRES)
    assert install_extra_command(extra, only) == command


@pytest.mark.parametrize(
    ("extra", "package"),
    [("extract", "torch"), ("reference", "torch"), ("server", "fastapi"), ("ui", "gradio")],
)
def test_this_package_describes_its_extras(extra: str, package: str) -> None:
    assert f'"{package}>=' in install_extra_command(extra)
    assert "pulid" not in install_extra_command(extra)


def test_it_is_installed_again_from_where_it_came(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = tmp_path / "pulid_sdcpp-0.1.0.whl"
    wheel.touch()
    for record, end in (
        (None, "--no-deps pulid-sdcpp"),
        ({"url": tmp_path.as_uri(), "dir_info": {}}, f'--no-deps "{tmp_path}"'),
        ({"url": wheel.as_uri(), "archive_info": {}}, f'--no-deps "{wheel}"'),
        ({"url": "https://example.org/a.whl"}, '--no-deps "https://example.org/a.whl"'),
        (
            {"url": (tmp_path / "gone").as_uri()},
            f"--no-deps . in the folder with the source ({tmp_path / 'gone'} is gone)",
        ),
    ):
        installed = Installed(record)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name, it=installed: it)
        assert reinstall_command() == f"pip install --force-reinstall {end}"


def test_a_source_tree_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    assert install_extra_command("extract") == (
        'pip install ".[extract]" in the folder with the source'
    )
    assert reinstall_command().endswith("--no-deps . in the folder with the source")
