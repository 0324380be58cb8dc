"""A real server as a process, with the pocket model: `pulid-sdcpp serve` on any free port.

with running_server(tmp_path, "--queue-size", "4") as server:
    httpx.get(f"{server.url}/health")
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

__all__ = ["RunningServer", "processes_below", "running_server", "start_server"]

START_S = 120.0
STOP_S = 60.0
_ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|localhost):(\d+)")
_POLL_S = 0.05


@dataclass
class RunningServer:
    """A server that listens, or has ended.

    Attributes:
        url: "http://127.0.0.1:PORT".
        data: The folder of everything it keeps; `data / "server"` is the jobs' and pictures'.
        log_file: All that it has printed, of several starts in order.
        headers: What a client sends to be let in.
    """

    process: subprocess.Popen[bytes]
    url: str
    data: Path
    log_file: Path
    headers: dict[str, str]

    def client(self, **options: Any) -> httpx.Client:
        """A client of this server; it waits for a picture as long as it takes."""
        given = {"base_url": self.url, "headers": self.headers, "timeout": 120.0}
        return httpx.Client(**{**given, **options})

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def children(self) -> list[int]:
        """The processes that it has started: its engines."""
        return processes_below(self.process.pid)

    def kill(self) -> None:
        """SIGKILL, and wait; its children notice that their input ends."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As Ctrl+C does, or a service's stop.

        Returns:
            The exit status.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not stop in {STOP_S} s:\n{self.log}") from None


def start_server(
    folder: Path,
    *flags: str,
    preset: str = "pocket",
    command: Sequence[str] = ("serve",),
    key: str = "",
    environment: Mapping[str, str] | None = None,
    is_ready: bool = True,
    port: int = 0,
) -> RunningServer:
    """Start one and wait until it answers; the caller ends it.

    Args:
        folder: Of its data and its log. Started again in the same folder, it goes on there.
        flags: Of the command.
        preset: "" if the flags name the model's files.
        key: What its clients send, and it asks for.
        environment: Variables to set.
        is_ready: Whether to wait for `/ready`, too.
        port: Where it listens; 0: anywhere.
    """
    data, log_file = folder / "data", folder / "server.log"
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [sys.executable, "-m", "pulid_sdcpp", *command, "--port", str(port)]
    arguments += ["--preset", preset] * bool(preset)
    given = {
        **os.environ,
        "PULID_SDCPP_DATA": str(data),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        **({"PULID_SDCPP_API_KEY": key} if key else {}),
        **(environment or {}),
    }
    begin = log_file.stat().st_size if log_file.exists() else 0
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [*arguments, *flags],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=given,
        )  # fmt: skip
    server = RunningServer(
        process, "", data, log_file, {"Authorization": f"Bearer {key}"} if key else {}
    )
    try:
        server.url = f"http://127.0.0.1:{_port(server, begin)}"
        _wait_for(server, "/ready" if is_ready else "/health")
    except BaseException:
        server.kill()
        raise
    return server


@contextmanager
def running_server(folder: Path, *flags: str, **options: Any) -> Iterator[RunningServer]:
    """A server for the time of a `with`; ended in order, whatever happened. See `start_server`."""
    server = start_server(folder, *flags, **options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def processes_below(pid: int) -> list[int]:
    """The ids of a process's children and of theirs; [] where /proc does not say."""
    found: list[int] = []
    for path in Path("/proc").glob(f"{pid}/task/*/children"):
        try:
            children = [int(word) for word in path.read_text().split()]
        except OSError:  # it has just ended
            continue
        for child in children:
            found += [child, *processes_below(child)]
    return found


def _port(server: RunningServer, begin: int) -> int:
    """The port that a start has printed, behind what the log had before."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        text = server.log_file.read_bytes()[begin:].decode("utf-8", "replace")
        # The line must be whole: the port could be cut.
        if found := _ADDRESS.search(text.rpartition("\n")[0]):
            return int(found[1])
        if server.process.poll() is not None:
            break
        time.sleep(_POLL_S)
    raise AssertionError(f"no address was printed:\n{server.log}")


def _wait_for(server: RunningServer, path: str) -> None:
    deadline = time.monotonic() + START_S
    answer = "nothing"
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            got = httpx.get(f"{server.url}{path}", headers=server.headers, timeout=10)
        except httpx.TransportError as error:
            answer = repr(error)
        else:
            if got.status_code == 200:
                return
            answer = got.text
        time.sleep(_POLL_S)
    raise AssertionError(f"{path} answered {answer}:\n{server.log}")
