"""The error hierarchy, as its docstring draws it."""

from __future__ import annotations

import pickle
import re

import pytest

from pulid_sdcpp import errors


def test_every_error_is_public_and_a_pulid_error():
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert defined == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.PulidError)


def test_the_tree_in_the_docstring_is_the_hierarchy():
    assert errors.__doc__ is not None
    ancestors: list[str] = []
    drawn = {}
    for line in errors.__doc__.splitlines():
        if match := re.match(r"([ │├└─]*)(\w+(?:Error|Cancelled))\b", line):
            level = (len(match[1]) - 4) // 4
            ancestors[level:] = [match[2]]
            drawn[match[2]] = ancestors[level - 1] if level else "Exception"
    assert drawn == {name: getattr(errors, name).__base__.__name__ for name in errors.__all__}


def test_a_callers_mistake_is_not_one_of_them():
    assert not issubclass(errors.PulidError, ValueError)


def test_a_generation_error_carries_the_engines_last_words():
    error = errors.GenerationError("out of memory", ["first", "second"])
    assert str(error) == "out of memory"
    assert error.log_lines == ("first", "second")
    assert errors.GenerationError("no words").log_lines == ()


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_survive_a_process_boundary(name):
    error = pickle.loads(pickle.dumps(getattr(errors, name)("what failed")))
    assert type(error).__name__ == name
    assert str(error) == "what failed"
