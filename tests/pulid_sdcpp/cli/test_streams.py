"""stdout and stderr that are closed, full, read by nobody, or of few characters."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.cli.progress.progress import Progress
from pulid_sdcpp.cli.progress.streams import (
    ReaderGone,
    bar_stream,
    command_streams,
    stdout_problem,
    write_to_stdout,
)

TESTS = Path(__file__).resolve().parents[2]
# A command whose engine computes nothing.
COMMAND = """
import sys
sys.path.append(sys.argv.pop(1))
from fake_engine import FakeEngine
from pulid_sdcpp.cli import main
from pulid_sdcpp.engine import factory
factory.load_engine = FakeEngine().create
main(sys.argv[1:])
"""
MODEL = ["--diffusion-model", "f.gguf", "--vae", "ae.safetensors", "--clip_l", "c.safetensors"]
GENERATE = ["generate", *MODEL, "-p", "p", "--steps", "1", "-W", "32", "-H", "32", "-s", "42"]
SAVED = "saved out.png (seed 42)"

shells = pytest.mark.skipif(not Path("/dev/full").exists(), reason="of Linux and a shell")


def run(
    folder: Path, redirection: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", COMMAND, str(TESTS)]
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *program, *GENERATE, *arguments],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False,
        encoding="utf-8",
    )  # fmt: skip


@shells
@pytest.mark.parametrize(
    ("redirection", "flags", "status"),
    [
        (">&-", [], 0),
        ("2>&-", [], 0),
        (">&- 2>&-", [], 0),
        ("<&- >&- 2>&-", [], 0),
        ("2> /dev/full", [], 0),
        ("> /dev/full", [], 1),
        ("> /dev/full", ["--json"], 1),
        ("> /dev/full 2>&1", [], 1),
    ],
)
def test_the_picture_is_made_whatever_becomes_of_the_words(
    tmp_path: Path, redirection: str, flags: list[str], status: int
) -> None:
    done = run(tmp_path, redirection, *flags, "-o", "out.png")
    assert done.returncode == status, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
    said = done.stdout + done.stderr
    assert "defect" not in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    if "2>&-" not in redirection and "2>" not in redirection:
        saved = [line for line in done.stderr.splitlines() if "saved" in line]
        assert SAVED in saved[0] or json.loads(saved[0])["path"] == "out.png"
    if "2>" in redirection and status == 0 and ">&- 2" not in redirection:
        assert done.stdout == f"{SAVED}\n"
    if status and "2>&1" not in redirection:
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: cannot write to stdout: No space left on device")


@shells
def test_who_reads_one_line_ends_the_command_quietly(tmp_path: Path) -> None:
    program = [sys.executable, "-c", COMMAND, str(TESTS), *GENERATE, "-b", "3", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(program, cwd=tmp_path, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(os.name == "nt", reason="a shell")
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_character_that_cannot_be_printed_ends_nothing(tmp_path: Path, encoding: str) -> None:
    words = ["-o", "{prompt}.png", "-p", "\u65e5\u672c"]
    done = run(tmp_path, "", *words, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout) == (0, "saved \\u65e5\\u672c.png (seed 42)\n"), (
        done.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == ["\u65e5\u672c.png"]


def test_what_steers_is_escaped_and_the_bar_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    output, errors = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    with command_streams():
        print("a\x1b[2Jb\u202e")
        print("c\rd", file=sys.stderr)
        bar_stream(sys.stderr).write("\r 1/2")
        progress = Progress()
        progress.stage("reading a\nsaved b.png\x9b")
        progress.saved("x\ny.png", 1, {})
    assert sys.stdout is output
    assert output.getvalue() == "a\\x1b[2Jb\\u202e\nsaved x\\ny.png (seed 1)\n"
    assert errors.getvalue() == "c\\rd\n\r 1/2reading a\\nsaved b.png\\x9b\n"


class Unbuffered(io.StringIO):
    """As stdout with PYTHONUNBUFFERED, which may take a part of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer, self.taken = self, b""

    def write(self, content: Any) -> int:
        self.taken += bytes(content[:1000])
        return min(len(content), 1000)


def test_a_picture_is_written_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Unbuffered()
    monkeypatch.setattr(sys, "stdout", output)
    with command_streams():
        write_to_stdout(bytes(2500))
    assert output.taken == bytes(2500)


class Failing(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def test_what_a_full_stdout_lacks_is_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Failing(OSError(28, "No space left on device")))
    monkeypatch.setattr(sys, "stderr", errors)
    with command_streams():
        assert stdout_problem() == ""
        print("one")
        print("two")
        assert stdout_problem() == "No space left on device"
    assert errors.getvalue() == "one\ntwo\n"


def test_a_reader_that_left_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(BrokenPipeError(32, "Broken pipe")))
    monkeypatch.setattr(sys, "stderr", errors := io.StringIO())
    with command_streams():
        with pytest.raises(ReaderGone):
            print("one")
        print("two")  # what cleans up afterwards is not disturbed
    assert errors.getvalue() == ""


def test_a_failing_stderr_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (BrokenPipeError(32, "Broken pipe"), OSError(28, "full"), ValueError("closed")):
        monkeypatch.setattr(sys, "stdout", output := io.StringIO())
        monkeypatch.setattr(sys, "stderr", Failing(error))
        with command_streams():
            print("lost", file=sys.stderr)
            print("said")
        assert output.getvalue() == "said\n"
