"""The examples of docs/batch.md, run as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from page_examples import runnable_data
from pulid_sdcpp.batch.fields import GENERATION_FIELDS
from pulid_sdcpp.batch.job_file import read_batch
from pulid_sdcpp.cli import main
from pulid_sdcpp.pocket.pack import pocket_files

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "batch.md").read_text(encoding="utf-8")
NAME = re.compile(r"`(\w+\.(?:toml|jsonl|csv))`")
# Each block is the file that was named last.
FILES = {
    NAME.findall(PAGE[: block.start()])[-1]: block[1]
    for block in re.finditer(r"^```(?:toml|json|csv)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
}
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
WRITTEN = 16  # pictures of jobs.toml; half of them are made here
MADE = {"jobs.toml": WRITTEN // 2, "couples.toml": 2, "jobs.jsonl": 4, "jobs.csv": 3}


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, with the page's files and the portraits."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        if name == "jobs.toml":
            text = runnable_data(text).replace("seeds = [1, 2]", "seeds = [1]")
        Path(name).write_text(text, encoding="utf-8")
    for portrait in pocket_files().portraits:
        shutil.copy(portrait, tmp_path)
    return tmp_path


def test_the_page_has_an_example_of_each_format(reader: Path) -> None:
    assert FILES.keys() == MADE.keys()
    for name, count in MADE.items():
        assert len(read_batch(name).jobs) == count
    assert {command[1] for command in COMMANDS} == FILES.keys()
    Path("whole.toml").write_text(FILES["jobs.toml"], encoding="utf-8")
    assert len(read_batch("whole.toml").jobs) == WRITTEN
    assert f"This makes {WRITTEN} pictures" in PAGE


def test_the_fields_it_names_exist() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| any option of a picture"))
    named = re.findall(r"`(\w+)`", row)
    assert len(named) > 5
    assert set(named) - {"generate"} <= set(GENERATION_FIELDS)


@pytest.mark.engine
@pytest.mark.extract
@pytest.mark.slow
def test_its_commands_make_what_it_says(reader: Path) -> None:
    for command in COMMANDS:
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, (command, done.output)
        if "--dry-run" in command:
            assert not Path("pictures").exists()
            continue
        output = Path(command[command.index("-o") + 1]) if "-o" in command else None
        folder = output or (Path("pictures") if command[1] == "jobs.toml" else Path("couples"))
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["made"] == MADE[command[1]]
        assert (folder / "contact-sheet.png").is_file()
    assert Path("pictures", "rose-comic-s1-w0.7.png").is_file()
    assert Path("couples", "mila.png").is_file()
    # Two people in one picture are two heads, each in its half.
    photos = [Path("couples/both.png"), *Path("from-lines").glob("rose-mila-*.png")]
    photos += Path("from-table").glob("rose-mila-*.png")
    assert len(photos) == 3
    for photo in photos:
        faces = CliRunner().invoke(main, ["faces", str(photo), "--preset", "pocket"])
        places = re.findall(r"^--face \d  at (\d+),", faces.stdout, re.MULTILINE)
        assert len(places) == 2, (photo, faces.output)
        assert int(places[0]) < 128 <= int(places[1])
    # A picture of a batch says, as any other, how it is made.
    again = ["generate", "--from", "couples/mila.png", "-o", "again.png", "--quiet"]
    assert CliRunner().invoke(main, again).exit_code == 0
    with Image.open("couples/mila.png") as first, Image.open("again.png") as second:
        assert first.tobytes() == second.tobytes()
