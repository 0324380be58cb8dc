"""A newcomer's first steps in a recorded terminal: docs/first-steps.cast, and its picture.

    python docs/record_first_steps.py

installs the package from this folder into a new environment, and runs STEPS there in a terminal of
a user who has nothing yet but two photos. The models come from the tests' own hub, which has the
pocket model's files. first-steps.cast is an asciicast, version 2: `asciinema play` shows it.
"""

from __future__ import annotations

import fcntl
import html
import itertools
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from hub_server import serve_hub  # noqa: E402
from pulid_sdcpp.pocket.pack import PocketFiles, pocket_files  # noqa: E402
from pulid_sdcpp.system.user_config import CONFIG_NAME  # noqa: E402

__all__ = ["CAST", "COLUMNS", "INSTALL", "PICTURE", "STEPS", "Recording", "commands_of", "draw",
           "newcomer", "record", "record_steps"]  # fmt: skip

CAST = Path(__file__).with_name("first-steps.cast")
PICTURE = Path(__file__).with_name("first-steps.svg")
COLUMNS = 100
MAX_ROWS = 1000
PROMPT = "\x1b[32m$\x1b[0m "

INSTALL = 'pip install --quiet ".[extract]"'
JOBS = """\
preset = "drawn"
prompts = ["photo of a smiling person", "comic of a person, blue background"]
seeds = [1]

[people.rose]
portraits = "rose.png"

[people.omar]
portraits = "omar.png"
"""
STEPS = [
    "pulid-sdcpp plan",
    "pulid-sdcpp models pull drawn --yes",
    'pulid-sdcpp generate --preset drawn --portrait rose.png -p "photo of a person" -o first.png',
    "pulid-sdcpp people add omar omar.png --preset drawn",
    'pulid-sdcpp generate --preset drawn --person omar -p "photo of a person" -o second.png',
    "cat jobs.toml",
    "pulid-sdcpp batch jobs.toml -o pictures",
    "pulid-sdcpp generate --preset drawn --portrait rose.png -p 'comic of a person' "
    "--grid id-weight=0,0.5,1 --grid seed=1,2 -o grid",
]

_KEPT = ("PATH", "LANG", "LC_", "PIP_", "CMAKE_", "CCACHE_")
_REPOSITORY = "drawn/portraits"
_WHAT = {
    "diffusion_model": "a small Flux of drawn portraits",
    "taesd": "its autoencoder",
    "clip_l": "its text encoder",
    "pulid": "its PuLID weights",
    "detector": "finds faces",
    "recogniser": "recognises them",
    "eva": "looks at them",
    "parsing": "finds their outlines",
}
_COLORS = {"green": "#7ec699", "red": "#e06c75", "brown": "#e5c07b", "blue": "#61afef"}
_TEXT_COLOR, _BACKGROUND = "#d7dae0", "#1e2127"
_CHARACTER_PX, _LINE_PX, _MARGIN_PX = 8.4, 19, 16


@dataclass
class Recording:
    """Events of an asciicast: seconds since the start, "o" or "m", and output or a command."""

    events: list[tuple[float, str, str]] = field(default_factory=list)
    now_s: float = 0.0

    def output(self, text: str, after_s: float = 0.0) -> None:
        self.now_s += after_s
        self.events.append((round(self.now_s, 3), "o", text))

    def typed(self, command: str) -> None:
        """A command, as it is typed."""
        self.events.append((round(self.now_s, 3), "m", command))
        self.output(PROMPT, after_s=0.5)
        for character in command:
            self.output(character, after_s=0.03)
        self.output("\r\n", after_s=0.3)

    def write(self, path: Path) -> None:
        header = {
            "version": 2,
            "width": COLUMNS,
            "height": 30,
            "idle_time_limit": 2,
            "title": "pulid-sdcpp: first steps",
        }
        lines = [json.dumps(header), *(json.dumps(event) for event in self.events)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def record(
    command: str, recording: Recording, *, folder: Path, environment: dict[str, str]
) -> None:
    """Type a command and run it in a terminal of COLUMNS columns.

    Raises:
        RuntimeError: It did not end with status 0; has what it said.
    """
    recording.typed(command)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, COLUMNS, 0, 0))
    before_s, shown = time.monotonic(), b""
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        while chunk := _read(ours):
            shown += chunk
            # A character may be cut in two; its first bytes wait for the rest.
            text = shown.decode("utf-8", errors="ignore")
            shown = shown[len(text.encode()) :]
            after_s, before_s = time.monotonic() - before_s, time.monotonic()
            recording.output(text.replace(str(folder.parent), "~"), after_s)
    recording.now_s += time.monotonic() - before_s
    os.close(ours)
    if process.returncode:
        said = "".join(text for _, kind, text in recording.events[-50:] if kind == "o")
        raise RuntimeError(f"status {process.returncode} of: {command}\n{said}")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux, when the other side is closed
        return b""


@contextmanager
def newcomer(home: Path, *, steps: int = 4) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with two photos and jobs.toml, and the environment of a user whose home is `home`.

    A hub that has the preset "drawn", of so many steps, runs meanwhile.
    """
    files = pocket_files()
    folder = home / "portraits"
    folder.mkdir()
    portraits = {path.stem: path for path in files.portraits}
    for name in ("rose", "omar"):
        shutil.copy(portraits[name], folder / f"{name}.png")
    (folder / "jobs.toml").write_text(JOBS, encoding="utf-8")
    with serve_hub() as hub:
        published = _published(files)
        for path in published.values():
            hub.add(f"{_REPOSITORY}/{path.name}", path.read_bytes())
        config = home / "config"
        config.mkdir()
        (config / CONFIG_NAME).write_text(_config(published, steps), encoding="utf-8")
        yield (
            folder,
            {
                **{name: text for name, text in os.environ.items() if name.startswith(_KEPT)},
                "HOME": str(home),
                "TERM": "xterm-256color",
                "PULID_SDCPP_CONFIG": str(config),
                "HF_ENDPOINT": hub.url,
                "HF_HUB_DISABLE_XET": "1",
            },
        )


def _published(files: PocketFiles) -> dict[str, Path]:
    """The pocket model's files by their roles in a preset."""
    return {
        "diffusion_model": files.diffusion_model,
        "taesd": files.taesd,
        "clip_l": files.clip_l,
        "pulid": files.pulid_weights,
        "detector": files.detector,
        "recogniser": files.recogniser,
        "eva": files.models_dir / "EVA02_CLIP_L_336_psz14_s6B.safetensors",
        "parsing": files.models_dir / "parsing_bisenet.safetensors",
    }


def _config(published: dict[str, Path], steps: int) -> str:
    lines: list[str] = []
    for role, path in published.items():
        lines += [
            f"[files.drawn-{role}]",
            f"role = '{role}'",
            f"what = '{_WHAT[role]}'",
            f"repository = '{_REPOSITORY}'",
            f"path = '{path.name}'",
            "license = 'mit'",
        ]
    lines += [
        "[presets.drawn]",
        "what = 'a small model of drawn portraits'",
        f"settings = {{ steps = {steps}, width = 128, height = 128 }}",
        *(f"files.{role} = 'drawn-{role}'" for role in published),
    ]
    return "\n".join(lines) + "\n"


def commands_of(cast: Path) -> list[str]:
    """The commands that were typed in an asciicast."""
    lines = cast.read_text(encoding="utf-8").splitlines()[1:]
    return [text for _, kind, text in map(json.loads, lines) if kind == "m"]


def draw(cast: Path) -> str:
    """All lines of an asciicast as they stand at its end, as SVG."""
    screen = pyte.Screen(COLUMNS, MAX_ROWS)
    stream = pyte.Stream(screen)
    for line in cast.read_text(encoding="utf-8").splitlines()[1:]:
        _, kind, text = json.loads(line)
        if kind == "o":
            stream.feed(text)
    shown = screen.display
    count = max(row for row in range(MAX_ROWS) if shown[row].strip()) + 1
    rows = [screen.buffer[row] for row in range(count)]
    width = round(COLUMNS * _CHARACTER_PX + 2 * _MARGIN_PX)
    height = len(rows) * _LINE_PX + 2 * _MARGIN_PX
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="ui-monospace, Menlo, Consolas, monospace" '
        f'font-size="14" xml:space="preserve">',
        f'<rect width="100%" height="100%" rx="8" fill="{_BACKGROUND}"/>',
    ]
    for place, row in enumerate(rows):
        y = _MARGIN_PX + round((place + 0.75) * _LINE_PX)
        lines.append(f'<text x="{_MARGIN_PX}" y="{y}" fill="{_TEXT_COLOR}">{_spans(row)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _spans(row: Mapping[int, pyte.screens.Char]) -> str:
    cells = [row[column] for column in range(COLUMNS)]
    text = ""
    for color, group in itertools.groupby(cells, key=lambda cell: cell.fg):
        shown = html.escape("".join(cell.data for cell in group))
        fill = _COLORS.get(color)
        text += f'<tspan fill="{fill}">{shown}</tspan>' if fill else shown
    return text.rstrip()


def record_steps(recording: Recording, folder: Path, environment: dict[str, str]) -> None:
    """STEPS, one after another; the preset of the tests' hub is there from the pull on."""
    before = {**environment, "PULID_SDCPP_CONFIG": str(folder / "none")}
    for number, command in enumerate(STEPS):
        record(command, recording, folder=folder, environment=environment if number else before)


def main() -> None:
    """Record everything, the installation too, and draw it."""
    with tempfile.TemporaryDirectory() as home, newcomer(Path(home)) as (folder, environment):
        venv.create(Path(home, "venv"), with_pip=True)
        environment["PATH"] = f"{home}/venv/bin:{environment['PATH']}"
        recording = Recording()
        record(INSTALL, recording, folder=ROOT, environment=environment)
        record_steps(recording, folder, environment)
    recording.output(PROMPT, after_s=0.5)
    recording.write(CAST)
    PICTURE.write_text(draw(CAST), encoding="utf-8")
    print(f"wrote {CAST} and {PICTURE}")


if __name__ == "__main__":
    main()
