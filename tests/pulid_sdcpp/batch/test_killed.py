"""A batch that is killed at any moment and run again ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from long_form import times
from pulid_sdcpp.pocket.pack import pocket_files

# How often it is killed while it starts, extracts, has said something, and writes a file.
KILLS = times((3, 3, 4, 2), (10, 7, 21, 12))
SEED = 20_240_611
PICTURES = 20
JOBS = """
preset = "pocket"
width = 64
height = 64
steps = 1
seeds = [1, 2]
prompts = [
    "photo of a person, blue background", "photo of a smiling person, red background",
    "comic book drawing of a person", "photo of a surprised person, black shirt",
    "black and white photo of a person",
]
[people.alba]
portraits = "alba.png"
[people.omar]
portraits = "omar.png"
"""
LIMIT_S = 300.0


@dataclass(frozen=True)
class Moment:
    """When to kill: so long after so many events, or when a file is being written.

    Attributes:
        events: Lines that the run has said; -1: it is being started.
        delay_s: After that.
        extracting: Nobody's identity is kept, so that it is extracted again.
        saving: As soon as a temporary file is seen.
    """

    events: int = -1
    delay_s: float = 0.0
    extracting: bool = False
    saving: bool = False


def moments() -> list[Moment]:
    chance = random.Random(SEED)
    start, extract, said, saving = KILLS

    def spread(count: int, limit: float, least: float = 0) -> list[float]:
        step = (limit - least) / count
        return [chance.uniform(least + step * i, least + step * (i + 1)) for i in range(count)]

    found = [Moment(delay_s=delay_s) for delay_s in spread(start, 1.2)]
    found += [Moment(2, delay_s, extracting=True) for delay_s in spread(extract, 2)]
    found += [Moment(int(events), chance.uniform(0, 0.1)) for events in spread(said, 24, least=1)]
    found += [Moment(int(events), saving=True) for events in spread(saving, 12, least=4)]
    chance.shuffle(found)
    return found


class Folder:
    """Where a batch is run, again and again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = root / "pictures"
        self.cache = root / "cache"
        self.said = root / "events"
        (root / "jobs.toml").write_text(JOBS)
        for portrait in pocket_files().portraits:
            shutil.copy(portrait, root)

    def start(self) -> subprocess.Popen[bytes]:
        with self.said.open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "pulid_sdcpp", "batch", "jobs.toml", "--json",
                 "-o", self.output.name],
                cwd=self.root, stdout=said, stderr=subprocess.STDOUT,
                env={**os.environ, "PULID_SDCPP_CACHE": str(self.cache)},
            )  # fmt: skip

    def finish(self) -> dict[str, int]:
        """Run to the end; what the summary counts."""
        status = self.start().wait(LIMIT_S)
        assert status == 0, self.said.read_text()
        summary = json.loads((self.output / "summary.json").read_text())
        return {name: summary[name] for name in ("made", "already_there", "failed", "waiting")}

    def killed(self, moment: Moment) -> bool:
        """Run until the moment; whether it came before the end."""
        process = self.start()
        while process.poll() is None and not self._has_come(moment):
            time.sleep(0.0005)
        time.sleep(moment.delay_s)
        process.kill()
        return process.wait() != 0

    def phase(self) -> str:
        """What the last run did when it ended."""
        lines = [json.loads(line) for line in self.said.read_text().splitlines(True)
                 if line.startswith("{") and line.endswith("}\n")]  # fmt: skip
        named = [line.get("stage", line["event"]) for line in lines if line["event"] != "note"]
        return named[-1] if named else "start"

    def _has_come(self, moment: Moment) -> bool:
        if moment.events < 0:
            return True
        if self.said.read_bytes().count(b"\n") < moment.events:
            return False
        return not moment.saving or any(name.endswith(".part") for name in os.listdir(self.output))

    def pictures(self) -> dict[str, bytes]:
        """Every finished picture; the contact sheet is none."""
        found = self.output.glob("*.png") if self.output.is_dir() else ()
        return {path.name: path.read_bytes() for path in found if path.name != "contact-sheet.png"}


@pytest.mark.engine
@pytest.mark.extract
@pytest.mark.long
@pytest.mark.slow
def test_killed_many_times_it_makes_every_picture_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.finish() == {"made": 20, "already_there": 0, "failed": 0, "waiting": 0}
    expected = folder.pictures()
    sheet = (folder.output / "contact-sheet.png").read_bytes()
    assert len(expected) == PICTURES
    assert len(set(expected.values())) == PICTURES
    names = {*expected, "contact-sheet.png", "summary.json"}
    identities = tmp_path / "identities"
    shutil.copytree(folder.cache / "identities", identities)

    def check_finished() -> None:
        assert {path.name for path in folder.output.iterdir()} == names
        assert folder.pictures() == expected
        assert (folder.output / "contact-sheet.png").read_bytes() == sheet

    check_finished()
    shutil.rmtree(folder.output)
    phases: Counter[str] = Counter()
    left_unfinished = batches = 0
    for moment in moments():
        while True:
            if moment.extracting:
                shutil.rmtree(folder.cache / "identities", ignore_errors=True)
            before = folder.pictures()
            if folder.killed(moment):
                break
            # It was done before: the next one begins anew.
            check_finished()
            shutil.rmtree(folder.output)
            batches += 1
        phases[folder.phase()] += 1
        there = folder.pictures()
        assert there == {name: expected[name] for name in there}  # none half written
        assert before.keys() <= there.keys()
        if folder.output.is_dir():
            left_unfinished += any(path.suffix == ".part" for path in folder.output.iterdir())
        if moment.extracting and moment.delay_s < 1.7:  # the next run need not wait for it
            shutil.copytree(identities, folder.cache / "identities", dirs_exist_ok=True)
    counts = folder.finish()
    assert counts["made"] + counts["already_there"] == PICTURES
    check_finished()
    print(f"killed in {dict(phases)}; {left_unfinished} temporary files; {batches} batches before")
    least_start, least_extract, least_work = times((1, 1, 3), (3, 3, 15))
    assert phases["start"] >= least_start
    assert phases["extract"] >= least_extract
    assert sum(phases[each] for each in ("encode", "denoise", "decode", "saved")) >= least_work
