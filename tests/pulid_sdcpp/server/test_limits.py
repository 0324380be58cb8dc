"""What a server allows: the defaults of its page of flags, and values out of range."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from pulid_sdcpp.options.facts import of
from pulid_sdcpp.server.limits import Limits


def test_the_defaults_are_those_that_the_server_says() -> None:
    limits = Limits()
    assert (limits.queue_size, limits.max_batch, limits.max_steps) == (64, 10, 150)
    assert (limits.max_pixels, limits.max_side) == (4_194_304, 4096)
    assert limits.max_body_bytes == 64 * 1024 * 1024
    assert limits.max_image_bytes == 16 * 1024 * 1024
    assert limits.max_image_pixels == 50_000_000
    assert (limits.max_photos, limits.max_people) == (8, 8)
    assert (limits.queue_timeout_s, limits.job_timeout_s, limits.cancel_grace_s) == (0, 0, 120)
    assert (limits.keep_days, limits.keep_gib) == (30, 10)


def test_each_has_a_flag_and_a_line_of_help() -> None:
    facts = of(Limits)
    assert list(facts) == [field.name for field in fields(Limits)]
    for fact in facts.values():
        assert fact.flags.startswith("--")
        assert fact.help.endswith(".")


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_a_value_out_of_range_is_named(name: str) -> None:
    fact = of(Limits)[name]
    for edge, beyond in ((fact.low, fact.low - 1), (fact.high, fact.high + 1)):
        whole = int if fact.kind == "whole" else float
        Limits(**{name: whole(edge)})
        with pytest.raises(ValueError, match=name):
            Limits(**{name: whole(beyond)})


@pytest.mark.parametrize("value", [float("nan"), "8", None, True, 1.5])
def test_a_value_of_another_kind_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="max_photos"):
        Limits(max_photos=value)  # type: ignore[arg-type]


def test_limits_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Limits().max_batch = 11  # type: ignore[misc]
