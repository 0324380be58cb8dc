"""A mistyped name is answered with the one that was meant."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pulid_sdcpp.cli import main

CONVERT = ["convert", "a", "-o", "b.gguf", "--type"]
GENERATE = ["generate", "--preset", "pocket", "-p", "x"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generat"], "No such command 'generat'; did you mean generate?"),
        (["genrate"], "did you mean generate?"),
        (["modls"], "did you mean models?"),
        (["docto"], "did you mean doctor?"),
        (["xyzzy"], "No such command 'xyzzy'; there are: extract, "),
        (["models", "lst"], "did you mean list?"),
        (["generate", "--preset", "flux-schnel-q4", "-p", "x"], "did you mean flux-schnell-q4?"),
        (["models", "pull", "flux-dev-q9"], "did you mean flux-dev-q"),
        ([*GENERATE, "--sampling-method", "eulr"], "one of 'euler', 'euler_a', 'heun'"),
        ([*GENERATE, "--sampling-method", "eulr"], "; did you mean euler?"),
        ([*GENERATE, "--scheduler", "karas"], "did you mean karras?"),
        ([*GENERATE, "--cache-mode", "easycahe"], "did you mean easycache?"),
        ([*GENERATE, "--type", "q4k"], "did you mean q4_K?"),
        ([*CONVERT, "q4_K_S"], "Files named Q4_K_S are mostly q4_K"),
        ([*CONVERT, "q4_K_S"], "did you mean q4_K?"),
        (["generate", "-s"], "Option '-s' requires an argument; see 'pulid-sdcpp generate --help'"),
        (["models", "pull", "--models-dir"], "see 'pulid-sdcpp models pull --help'"),
        (["generate", "--debug"], "--debug belongs before the command, as in 'pulid-sdcpp --debug"),
        (["generate", "--stepz", "3"], "did you mean --steps?"),
    ],
)  # fmt: skip
def test_what_is_meant_is_said(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_names_are_listed_as_the_pages_write_them() -> None:
    result = CliRunner().invoke(main, [*GENERATE, "--sampling-method", "nonsense"])
    assert "euler_a" in result.stderr
    assert "euler-a" not in result.stderr
