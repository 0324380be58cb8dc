"""Every flag of sd-cli is an option of `generate`, or is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands.generate import generate
from pulid_sdcpp.cli.flags.not_offered import NOT_OFFERED, NOT_OFFERED_MODES

LIST = Path(__file__).resolve().parents[3] / "docs" / "sd_cli_flags.txt"  # of the vendored sd-cli
FLAGS = LIST.read_text(encoding="utf-8").split()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["generate", "-p", "a face", *arguments])


def option_of_generate(flag: str) -> bool:
    spelled = flag.replace("_", "-")
    flags = set(main.context_settings["help_option_names"]) | {
        name.replace("_", "-")
        for parameter in generate.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    return spelled in flags


@pytest.mark.parametrize("flag", FLAGS)
def test_each_flag_is_here_or_refused_with_the_reason(flag: str) -> None:
    assert option_of_generate(flag) != (flag in NOT_OFFERED)
    if flag in NOT_OFFERED:
        for spelling in {flag, flag.replace("_", "-"), f"--{flag[2:].replace('-', '_')}"}:
            result = run(spelling, "2")
            assert result.exit_code == 2
            assert result.stderr.startswith(f"error: {flag}: {NOT_OFFERED[flag]}; see '")
            assert result.stderr.count("\n") == 1


def test_nothing_else_is_refused() -> None:
    assert set(NOT_OFFERED) <= set(FLAGS)


def test_all_of_them_are_named_in_one_error() -> None:
    result = run("--fps", "--canny", "--vace-strength=0.5", "--llm", "--chroma-enable-t5-mask")
    assert result.exit_code == 2
    line = result.stderr
    assert line.count("error: ") == line.count("\n") == 1
    assert f"--fps, --vace-strength: {NOT_OFFERED['--fps']}; " in line
    assert f"--llm: {NOT_OFFERED['--llm']}" in line
    assert "--canny" not in line  # the value of --fps
    assert "--chroma" not in line  # the value of --llm


def test_a_value_of_another_flag_is_not_refused() -> None:
    result = run("--negative-prompt", "--llm")
    assert "no model is named" in result.stderr


@pytest.mark.parametrize(("mode", "reason"), NOT_OFFERED_MODES.items())
def test_other_modes_are_refused_with_the_reason(mode: str, reason: str) -> None:
    result = run("-M", mode)
    assert result.exit_code == 2
    assert f"'{mode}': {reason}; see" in result.stderr


def test_refused_flags_are_neither_shown_nor_suggested() -> None:
    shown = CliRunner().invoke(main, ["generate", "--help"]).output
    assert "--clip_l" in shown
    assert "--llm" not in shown
    suggested = run("--clip-vizion", "x").stderr
    assert "--clip-vision" not in suggested
