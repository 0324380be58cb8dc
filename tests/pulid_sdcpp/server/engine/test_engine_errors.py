"""Errors that cross from the engine process: the same class, the same words."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pulid_sdcpp import errors
from pulid_sdcpp.errors import GenerationCancelled, GenerationError, named, option_error, spelled
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.server.engine.engine_errors import EngineCrashedError, error_event, exception_of
from pulid_sdcpp.server.engine.engine_messages import as_line, event_from
from pulid_sdcpp.server.errors import api_error_of


def crossed(error: BaseException, folder: str = "") -> Exception:
    event: Any = event_from(as_line(error_event("j", error, folder)))
    return exception_of(event)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_of_ours_stays_what_it_is(name: str) -> None:
    found = crossed(getattr(errors, name)("what is wrong"))
    assert type(found).__name__ == name
    assert str(found) == "what is wrong"


def test_a_caller_s_mistake_stays_one() -> None:
    with pytest.raises(ValueError, match="batch_count") as caught:
        GenerationOptions("", batch_count=0)
    found = crossed(caught.value)
    assert type(found) is ValueError
    assert api_error_of(found).code == api_error_of(caught.value).code == "invalid_value"


def test_a_library_s_mistake_is_none_of_the_caller_s() -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("words")
    assert api_error_of(crossed(caught.value)).code == "defect"


def test_a_crash_has_a_code() -> None:
    assert api_error_of(EngineCrashedError("words")).code == "engine_crashed"


def test_the_options_in_a_message_can_still_be_spelled() -> None:
    found = crossed(option_error(f"{named('init_image')} is missing"))
    assert str(found) == "init_image is missing"
    assert spelled(found, lambda name: f"--{name}") == "--init_image is missing"


def test_the_log_of_a_failure_comes_with_it() -> None:
    found = crossed(GenerationError("failed", ["warning: a", "error: b"]))
    assert isinstance(found, GenerationError)
    assert found.log_lines == ("warning: a", "error: b")
    assert isinstance(crossed(GenerationCancelled("cancelled")), GenerationCancelled)


@pytest.mark.parametrize(
    "error", [KeyError("x"), TypeError("words"), OSError(5, "words"), MemoryError()]
)
def test_what_nobody_foresaw_says_its_class(error: Exception) -> None:
    found = crossed(error)
    assert type(found) is RuntimeError
    assert type(error).__name__ in str(found)


def test_the_job_s_folder_is_not_named(tmp_path: Any) -> None:
    error = errors.ImageFileError(f"{tmp_path / 'inputs' / 'a.png'} is damaged")
    found = crossed(error, os.fspath(tmp_path))
    assert str(found) == f"{os.path.join('inputs', 'a.png')} is damaged"
