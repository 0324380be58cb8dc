"""The engine's messages on their way to the logger."""

from __future__ import annotations

import logging

import pytest

from pulid_sdcpp.native.log import LOGGER, LastLines

NORMAL = (
    "stable-diffusion.cpp:620  - No valid VAE specified with --vae or --force-sdxl-vae-conv-scale "
    "flag set, using Conv2D scale 0.031"
)


def test_a_checkpoints_own_autoencoder_is_nothing_to_warn_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, LOGGER.name), LastLines() as last:
        LOGGER.warning("%s", NORMAL)
        LOGGER.warning("%s", "a.cpp:1  - memory is low")
    assert [(one.levelname, one.levelno) for one in caplog.records] == [
        ("DEBUG", logging.DEBUG),
        ("WARNING", logging.WARNING),
    ]
    assert list(last.lines) == ["warning: memory is low"]


def test_where_debugging_is_off_it_is_not_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER.name):
        LOGGER.warning("%s", NORMAL)
        LOGGER.error("%s", NORMAL)  # as an error it would be one
    assert [one.levelname for one in caplog.records] == ["ERROR"]
