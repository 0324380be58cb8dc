"""The recorded first steps: every command works, and the recording and its picture are of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("pty", reason="a terminal of Unix")
pytest.importorskip("pyte")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import record_first_steps as first_steps  # noqa: E402


def test_the_recording_is_of_these_commands() -> None:
    assert first_steps.commands_of(first_steps.CAST) == [first_steps.INSTALL, *first_steps.STEPS]


def test_the_picture_is_the_recording_s() -> None:
    drawn = first_steps.draw(first_steps.CAST)
    assert drawn == first_steps.PICTURE.read_text(encoding="utf-8")
    assert "pulid-sdcpp batch jobs.toml" in drawn
    assert first_steps.PICTURE.name in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_recording_has_nothing_of_the_computer_it_was_made_on() -> None:
    cast = first_steps.CAST.read_text(encoding="utf-8")
    for word in ("/tmp", "/root", "/home", "127.0.0.1"):
        assert word not in cast


@pytest.mark.engine
@pytest.mark.extract
@pytest.mark.slow
def test_every_command_does_what_the_recording_shows(tmp_path: Path) -> None:
    recording = first_steps.Recording()
    with first_steps.newcomer(tmp_path, steps=1) as (folder, environment):
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        first_steps.record_steps(recording, folder, environment)
        made = {str(path.relative_to(folder)) for path in folder.rglob("*.png")}
    assert {"first.png", "second.png", "pictures/contact-sheet.png"} <= made
    assert len([name for name in made if name.startswith("pictures/")]) == 5
    assert len([name for name in made if name.startswith("grid")]) == 7
