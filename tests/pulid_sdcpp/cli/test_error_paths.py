"""What a newcomer gets wrong: one line, with what to do, and the status that docs/cli.md says."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from pulid_sdcpp.cli import main

GENERATE = "generate --preset pocket -p x "
EVALUATE = "evaluate --preset pocket -p x "
MISTAKES = [
    # A file that is not there, a folder, nothing in it, or another kind of file: status 1.
    (f"{GENERATE} --portrait absent.png", 1, "absent.png: no such file; expected a photo"),
    (f"{GENERATE} --portrait folder", 1, "folder: there is no photo in this folder"),
    (f"{GENERATE} --portrait empty.png", 1, "empty.png: expected a photo, found an empty file"),
    (f"{GENERATE} --portrait text.png", 1, "text.png: expected a photo (JPEG, PNG, "),
    (f"{GENERATE} -i absent.png", 1, "cannot read absent.png: "),
    (f"{GENERATE} -i folder", 1, "cannot read folder: expected a file, found a folder"),
    (f"{GENERATE} --ref-image text.png", 1, "text.png: expected a picture"),
    ("generate --from photo.png", 1, "photo.png: expected a picture with the parameters"),
    (f"{EVALUATE} absent.png", 1, "absent.png: no such file; expected a portrait"),
    (f"{EVALUATE} photo.png -o photo.png", 1, "photo.png is a file; name a folder"),
    ("evaluate photo.png --preset pocket --prompts absent.txt", 1, "absent.txt: "),
    ("batch absent.toml", 1, "cannot read absent.toml: "),
    ("batch empty.toml", 1, "empty.toml: there is no job in it"),
    ("batch text.png", 1, "text.png: expected a job file, whose name ends in "),
    ("inspect absent.png", 1, "cannot read absent.png: "),
    ("inspect empty.gguf", 1, "empty.gguf: expected a model file, found an empty file"),
    ("convert absent.gguf -o out.gguf --type q4_K", 1, "absent.gguf: no such file"),
    ("convert photo.png -o out.gguf --type q4_K", 1, "photo.png: expected a safetensors or gguf"),
    # What cannot be meant: status 2.
    ("generate --preset pocket", 2, "Missing option '-p' / '--prompt'; see 'pulid-sdcpp generate"),
    ("generate -p x", 2, "no model is named; add --preset with one of "),
    ("generate -p x --preset flux-schnel-q4", 2, "there is no preset 'flux-schnel-q4'; did you "),
    (f"{GENERATE} --stps 3", 2, "No such option '--stps'; did you mean --steps?; see "),
    (f"{GENERATE} --zzz", 2, "No such option '--zzz'; see "),
    (f"{GENERATE} --seed", 2, "Option '--seed' requires an argument; see 'pulid-sdcpp generate"),
    (f"{GENERATE} --portrait=", 2, "--portrait is empty, but must be a path or a"),
    (f"{GENERATE} --vae=", 2, "Invalid value for '--vae': it is empty, but must be a path"),
    (f"{GENERATE} -t 9999", 2, "-t is 9999, but must be 512 at most"),
    (f"{GENERATE} --portrait a.png --person b.png", 2, "--portrait and --person exclude "),
    (f"{GENERATE} --quiet --json", 2, "--json and --quiet exclude each other"),
    ("convert photo.png -o out.gguf", 2, "Missing option '--type'. Choose from: f32, f16, bf16, "),
    ("convert photo.png -o out.gguf --type q4_KK", 2, "Invalid value for '--type': 'q4_KK' is "),
    ("models lst", 2, "No such command 'lst'; did you mean list?; see 'pulid-sdcpp models --help'"),
    ("models pull flux-schnel-q4", 2, "there is no preset 'flux-schnel-q4'; did you mean flux-"),
    ("generat -p x", 2, "No such command 'generat'; did you mean generate?; see 'pulid-sdcpp "),
]  # fmt: skip


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with some files, none of which is a person's photo."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name in ("empty.png", "empty.toml", "empty.gguf"):
        Path(name).touch()
    Path("text.png").write_text("hello\n")
    Image.new("RGB", (64, 64), "gray").save("photo.png")
    return tmp_path


@pytest.mark.parametrize(("command", "status", "said"), MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_do(
    newcomer: Path, command: str, status: int, said: str
) -> None:
    before = sorted(newcomer.rglob("*"))
    result = CliRunner().invoke(main, command.split(), prog_name="pulid-sdcpp")
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.exit_code == status, result.output
    assert len(lines) == 1
    assert lines[0] == result.stderr.splitlines()[-1]
    assert lines[0].removeprefix("error: ").startswith(said), lines[0]
    assert "Traceback" not in result.output
    assert [path for path in sorted(newcomer.rglob("*")) if path.name != "evaluation"] == before
