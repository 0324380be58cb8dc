"""`--preview` as in sd-cli, and in the form that it had here before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands.generate import generate
from pulid_sdcpp.cli.flags.preview import PreviewRequest


def asked(*flags: str) -> PreviewRequest | None:
    context = click.Context(main, **main.context_settings)
    values = generate.make_context("generate", ["-p", "a face", *flags], parent=context).params
    return PreviewRequest.of(values)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", None),
        ("--preview none --preview-path look.png", None),
        ("--preview-interval 2 --preview-noisy", None),
        ("--preview proj", ("preview.png", "proj", 1, False)),
        ("--preview tae --preview_path look.png", ("look.png", "tae", 1, False)),
        ("--preview vae --preview-interval 3 --preview-noisy", ("preview.png", "vae", 3, True)),
        ("--preview-path look.png", ("look.png", "proj", 1, False)),
        ("--preview-path look.png --preview-method tae", ("look.png", "tae", 1, False)),
    ],
)
def test_what_the_flags_say(flags: str, expected: Any) -> None:
    found = asked(*flags.split())
    if expected is None:
        assert found is None
    else:
        path, *others = expected
        assert found == PreviewRequest(Path(path), *others)


@pytest.mark.parametrize("method", ["proj", "vae"])
def test_a_file_in_the_place_of_the_method_is_taken_with_a_note(method: str) -> None:
    found = asked("--preview", "look.png", "--preview-method", method)
    assert found is not None
    assert (found.path, found.method) == (Path("look.png"), method)
    assert "look.png is taken as --preview-path" in found.note


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--preview latent", "'latent' is not one of none, proj, tae, vae; --preview-path names"),
        ("--preview a.png --preview-path b.png", "a.png and --preview-path b.png name a file each"),
        ("--preview tae --preview-method vae", "--preview tae and --preview-method vae differ"),
    ],
)
def test_what_cannot_be_meant_is_refused(flags: str, message: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        asked(*flags.split())
    assert message in raised.value.format_message()
