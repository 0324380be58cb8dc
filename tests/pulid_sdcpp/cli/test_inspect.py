from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from pulid_sdcpp.cli import main
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.pictures.png_text import PictureText, format_text, save_picture


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)])


@pytest.fixture
def alice(tmp_path: Path) -> Path:
    identity = Identity.from_array(np.full((32, 2048), 0.5, np.float32), created="2026\x1b[31m")
    identity.save(tmp_path / "alice.pulidembd")
    return tmp_path / "alice.pulidembd"


def test_an_identity_is_described(alice: Path) -> None:
    result = run(alice)
    assert result.exit_code == 0, result.output
    assert "an identity of 32 tokens of width 2048 in F16" in result.stdout
    assert f"hash: {Identity.load(alice).short_hash}" in result.stdout
    assert "pulid.version: 1" in result.stdout
    assert ", 131 kB\n" in result.stdout
    assert "tensors:\n" not in result.stdout


def test_the_place_of_a_face_is_as_the_flag_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.pulidembd"
    tokens = np.full((4, 8), 0.5, np.float32)
    Identity.from_array(tokens, face_box=[116, 114, 294, 303]).save(path)
    assert "pulid.face_box: 116,114,178,189 (x, y, width, height)\n" in run(path).stdout
    assert json.loads(run(path, "--json").stdout)["metadata"]["pulid.face_box"] == [
        *(116, 114, 294, 303)
    ]
    Identity.from_array(tokens, face_box="here").save(path, overwrite=True)
    assert "pulid.face_box: here\n" in run(path).stdout


def test_text_in_a_file_cannot_steer_the_terminal(alice: Path) -> None:
    assert "\x1b" not in run(alice, "--tensors").output


def test_tensors_are_listed_when_asked_for(alice: Path) -> None:
    assert "  pulid_id  f16  32 x 2048" in run(alice, "--tensors").stdout


def test_json_is_for_programs(alice: Path) -> None:
    shown = json.loads(run(alice, "--json").stdout)
    assert (shown["kind"], shown["format"], shown["tensors"]) == ("identity", "gguf", 1)
    shown = json.loads(run(alice, "--json", "--tensors").stdout)
    assert shown["tensors"][0]["shape"] == [32, 2048]


def test_a_picture_shows_its_parameters(tmp_path: Path) -> None:
    values = {"Steps": "4", "Seed": "42", "Size": "64x64"}
    text = format_text(PictureText("a face", "", values))
    save_picture(Image.new("RGB", (16, 16)), tmp_path / "a.png", text)
    assert "a face\nSteps: 4, Seed: 42" in run(tmp_path / "a.png").stdout
    shown = json.loads(run(tmp_path / "a.png", "--json").stdout)
    assert shown["parameters"]["values"]["Seed"] == "42"
    save_picture(Image.new("RGB", (16, 16)), tmp_path / "b.png")
    assert "without parameters" in run(tmp_path / "b.png").stdout


def test_a_job_file_is_for_another_command(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text('prompts = ["a"]\n')
    result = run(jobs)
    assert result.exit_code == 1
    assert f"'pulid-sdcpp batch {jobs} --dry-run' shows them" in result.stderr
    assert "no such file" in run(tmp_path / "absent.toml").stderr


def test_a_picture_from_before_schedules_were_named_says_its_own(tmp_path: Path) -> None:
    values = {"Steps": "4", "Sampler": "LCM", "Seed": "42", "Version": "pulid-sdcpp 0.1.0"}
    text = format_text(PictureText("a face", "", values))
    save_picture(Image.new("RGB", (16, 16)), tmp_path / "a.png", text)
    note = "made with the noise schedule lcm, which was the default then"
    assert f"note: {note}" in run(tmp_path / "a.png").stdout
    (told,) = json.loads(run(tmp_path / "a.png", "--json").stdout)["notes"]
    assert note in told
    named = text.replace("LCM", "LCM, Schedule type: flux")
    save_picture(Image.new("RGB", (16, 16)), tmp_path / "b.png", named)
    assert "note" not in run(tmp_path / "b.png").stdout
    assert json.loads(run(tmp_path / "b.png", "--json").stdout)["notes"] == []


@pytest.mark.parametrize("name", ["absent.gguf", "folder", "empty.gguf", "text.safetensors"])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_file_that_cannot_be_described_is_one_line(
    tmp_path: Path, name: str, flags: list[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.gguf").touch()
    (tmp_path / "text.safetensors").write_text("hello")
    result = run(tmp_path / name, *flags)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert name in result.stderr
