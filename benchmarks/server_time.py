"""What the server adds to a picture's time, against the command line.

    python benchmarks/server_time.py --json benchmarks/results/server-time.json

The same pictures of the pocket model, by `generate --batch-count` and as a job of a running server,
whose events a client follows; in turn. Counted is from one saved picture to the next, so that
neither has its start and its model's loading in it: wall time, and on Linux the processor time of
all processes (the server's and its engine's), which others that keep the computer busy hardly
change.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measured import Comparison, Figure, run_now
from report import as_text
from startup import our_program

AT_MOST_PERCENT = 2.0
PROMPT = "a portrait of a woman in a red shirt"
CLOCKS = ("wall", "CPU")
NOTE = "On a computer that others keep busy (load average), only processor times can be compared."


@dataclass(frozen=True)
class Pictures:
    """What is made in a turn."""

    count: int
    size_px: int
    steps: int
    seed: int


def by_command(pictures: Pictures, folder: Path) -> dict[str, list[float]]:
    """Seconds of each picture but the first, by clock."""
    command = [
        *our_program(), "generate", "--preset", "pocket", "-p", PROMPT,
        "-b", str(pictures.count), "-s", str(pictures.seed), "--steps", str(pictures.steps),
        "-W", str(pictures.size_px), "-H", str(pictures.size_px), "--json",
        "-o", str(folder / "{seed}.png"), "--overwrite",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        marks = [
            now(process.pid)
            for line in process.stdout
            if line.startswith("{") and json.loads(line).get("event") == "saved"
        ]
    if process.returncode:
        raise RuntimeError(f"generate ended with status {process.returncode}")
    return between(marks, pictures)


def by_server(pictures: Pictures, url: str, pid: int) -> dict[str, list[float]]:
    """The same of a job."""
    body = {
        "prompt": PROMPT, "batch_count": pictures.count, "seed": pictures.seed,
        "steps": pictures.steps, "width": pictures.size_px, "height": pictures.size_px,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{url}/sdcpp/v1/img_gen", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        events_url = json.load(answer)["events_url"]
    address = events_url if "://" in events_url else url + events_url
    marks = []
    with urllib.request.urlopen(address) as events:
        for line in events:
            if line.startswith(b"event: saved"):
                marks.append(now(pid))
    return between(marks, pictures)


def now(pid: int) -> dict[str, float]:
    """What each clock shows of a process and all below it."""
    marks = {"wall": time.perf_counter()}
    if Path("/proc/self/stat").exists():
        marks["CPU"] = cpu_s(pid)
    return marks


def cpu_s(pid: int) -> float:
    """Processor seconds of a process and those that it has started."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = [
            int(word)
            for path in Path(f"/proc/{pid}/task").glob("*/children")
            for word in path.read_text().split()
        ]
    except OSError:  # it has just ended
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(cpu_s, children))


def between(marks: list[dict[str, float]], pictures: Pictures) -> dict[str, list[float]]:
    """Seconds from one saved picture to the next, by clock.

    Raises:
        RuntimeError: Not as many were made as were wanted.
    """
    if len(marks) != pictures.count:
        raise RuntimeError(f"{len(marks)} of {pictures.count} pictures were made")
    return {
        clock: [later[clock] - mark[clock] for mark, later in itertools.pairwise(marks)]
        for clock in marks[0]
    }


@contextmanager
def server_running(folder: Path) -> Iterator[tuple[str, int]]:
    """A server's address and process id."""
    command = [*our_program(), "serve", "--preset", "pocket", "--port", "0"]
    log = folder / "server.log"
    with (
        log.open("wb") as file,
        subprocess.Popen([*command, "--data-dir", str(folder)], stdout=file, stderr=file) as server,
    ):
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:\d+(?=\D)", log.read_text())):
                if server.poll() is not None:
                    raise RuntimeError(f"the server ended:\n{log.read_text()}")
                time.sleep(0.05)
            yield found[0], server.pid
        finally:
            server.terminate()


def measure(pictures: Pictures, turns: int) -> dict[str, dict[str, float]]:
    """Median seconds of a picture by clock, then by who made it; they take turns."""
    found: dict[str, dict[str, list[float]]] = {
        who: {clock: [] for clock in CLOCKS} for who in ("command", "server")
    }
    with (
        tempfile.TemporaryDirectory(prefix="pulid-benchmark-") as name,
        server_running(Path(name)) as (url, pid),
    ):
        for turn in range(turns + 1):
            made = {
                "command": by_command(pictures, Path(name)),
                "server": by_server(pictures, url, pid),
            }
            if turn:  # the first one brings files into the page cache, and loads the models
                for who, times in made.items():
                    for clock, seconds in times.items():
                        found[who][clock] += seconds
    return {
        clock: {who: statistics.median(times[clock]) for who, times in found.items()}
        for clock in CLOCKS
        if found["command"][clock]
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=6, help="of a turn (default: 6)")
    parser.add_argument("--turns", type=int, default=5, help="default: 5")
    parser.add_argument("--size", type=int, default=256, help="pixels a side (default: 256)")
    parser.add_argument("--steps", type=int, default=20, help="default: 20")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    pictures = Pictures(options.pictures, options.size, options.steps, seed=1)
    medians = measure(pictures, options.turns)
    counted = options.turns * (options.pictures - 1)
    found = run_now(
        "server_time",
        "What the server adds to a picture's time",
        [
            Figure(
                f"the server's addition, {clock} time",
                100 * (times["server"] / times["command"] - 1),
                "%",
                AT_MOST_PERCENT,
                f"medians of {counted} pictures each",
            )
            for clock, times in medians.items()
        ],
        [
            Comparison(
                f"A picture of {options.size}x{options.size}, {options.steps} steps",
                "s",
                ("generate", "server"),
                tuple((clock, (one["command"], one["server"])) for clock, one in medians.items()),
                note=NOTE,
            )
        ],
    )
    print(as_text(found))
    if options.json is not None:
        found.save(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
