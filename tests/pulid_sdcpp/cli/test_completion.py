"""Completion in shells: commands and presets with what they are for, flags and choices."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pulid_sdcpp import Identity
from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.flags.completions import COMPLETE_VARIABLE
from pulid_sdcpp.cli.flags.shell_completion import SHELLS
from pulid_sdcpp.identity.kept_people import keep_person
from pulid_sdcpp.store.registry import preset_names


def complete(shell: str, *words: str) -> list[str]:
    """What a shell is offered for the last word."""
    separator = {"powershell": "\n"}.get(shell, " ")
    # fish and PowerShell say the word itself, bash and zsh its number.
    current = words[-1] if shell in ("fish", "powershell") else str(len(words))
    variables = {
        COMPLETE_VARIABLE: f"{shell}_complete",
        "COMP_WORDS": separator.join(("pulid-sdcpp", *words)),
        "COMP_CWORD": current,
    }
    result = CliRunner().invoke(main, [], env=variables, prog_name="pulid-sdcpp")
    assert result.exit_code == 0, result.output
    return [line for line in result.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_asks_the_program(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"{shell}_complete" in result.stdout
    assert COMPLETE_VARIABLE in result.stdout
    assert "pulid-sdcpp" in result.stdout
    assert "%(" not in result.stdout


def test_another_shell_is_refused() -> None:
    result = CliRunner().invoke(main, ["completion", "fsh"])
    assert result.exit_code == 2
    assert "did you mean fish?" in result.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_presets_are_completed(shell: str) -> None:
    offered = complete(shell, "generate", "--preset", "flux-s")
    assert len(offered) >= 3
    text = "\n".join(offered)
    assert "flux-schnell-q4" in text
    assert "flux-dev" not in text
    assert ("the first try" in text) == (shell != "bash")  # which shows no help


def test_parts_are_completed_where_they_are_taken() -> None:
    assert complete("bash", "models", "pull", "fac") == ["plain,faces"]
    assert complete("bash", "extract", "--preset", "fac") == []
    parts = ["extraction", "extraction-sdxl", "extraction-sdxl-v1"]
    assert complete("bash", "extract", "--preset", "extr") == [f"plain,{part}" for part in parts]
    assert len(complete("bash", "models", "where", "")) == len(preset_names()) + 6


def test_people_are_completed_where_they_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path))
    assert complete("bash", "generate", "--portrait", "al") == ["file,al"]
    identity = Identity.from_array(np.ones((32, 64), np.float32))
    for name in ("Alice", "Bob"):
        keep_person(name, identity)
    assert complete("bash", "generate", "--person", "al") == ["file,al", "plain,Alice"]
    assert complete("bash", "people", "rm", "") == ["plain,Alice", "plain,Bob"]
    assert complete("bash", "people", "show", "b") == ["plain,Bob"]


def test_loras_of_the_folder_are_completed(tmp_path: Path) -> None:
    (tmp_path / "style.safetensors").touch()
    folder = ("generate", "--lora-model-dir", str(tmp_path))
    assert complete("bash", *folder, "--lora", "st") == ["file,st", "plain,style"]


def test_commands_flags_and_choices_are_completed() -> None:
    assert complete("fish", "doc")[0].startswith("plain,doctor\tShow versions and devices")
    assert "plain,completion" in complete("bash", "com")
    assert "plain,clear" in complete("bash", "cache", "c")
    assert complete("bash", "generate", "--sampling-m") == ["plain,--sampling-method"]
    assert "plain,euler_a" in complete("bash", "generate", "--sampling-method", "eul")
    assert complete("bash", "cache", "clear", "fold") == ["plain,folded"]


def test_a_broken_config_file_offers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULID_SDCPP_CONFIG", str(tmp_path))
    (tmp_path / "config.toml").write_text("prese[[ts")
    assert complete("bash", "generate", "--preset", "fl") == []
    assert complete("bash", "models", "pull", "fl") == []


def test_powershell_gets_a_value_and_its_help_and_no_files() -> None:
    for line in complete("powershell", "models", "pull", "flux-dev"):
        assert re.fullmatch(r"flux-dev[\w-]*\t\S.*", line)
    (command,) = complete("powershell", "doc")
    assert command.split("\t")[0] == "doctor"
    assert complete("powershell", "generate", "--portrait", "me") == []
    assert len(complete("powershell", "generate", "--preset", "'flux-schnell-q4'")) == 1


def test_the_powershell_script_is_well_formed() -> None:
    script = CliRunner().invoke(main, ["completion", "powershell"]).stdout
    assert script.startswith("Register-ArgumentCompleter -Native -CommandName pulid-sdcpp")
    bare = re.sub(r'"[^"]*"|\'[^\']*\'', "", script)
    for left, right in ("{}", "()", "[]"):
        assert bare.count(left) == bare.count(right), left
    # What it sets it takes away again.
    for name in ("COMP_WORDS", "COMP_CWORD", COMPLETE_VARIABLE):
        assert script.count(f"$env:{name} =") == 1
        assert f"Env:{name}" in script.partition("finally")[2]
    assert 'split "`t", 2' in script  # as the program answers


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_reads_its_script(tmp_path: Path) -> None:
    script = tmp_path / "completion.sh"
    script.write_text(CliRunner().invoke(main, ["completion", "bash"]).stdout)
    done = subprocess.run(
        ["bash", "-c", f'source "{script}"; complete -p pulid-sdcpp'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "_pulid_sdcpp_completion" in done.stdout
