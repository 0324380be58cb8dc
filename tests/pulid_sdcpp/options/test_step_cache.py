from __future__ import annotations

from typing import Any

import pytest

from pulid_sdcpp import GenerationOptions
from pulid_sdcpp.options.step_cache import CACHE_MODES, cache_arguments, check_cache_arguments


@pytest.mark.parametrize(
    ("mode", "option", "expected"),
    [
        ("disabled", "", {"cache_mode": "disabled"}),
        ("easycache", "", {"cache_mode": "easycache"}),
        (
            "easycache",
            "threshold=0.3, start=0.1,end=0.9",
            {
                "cache_mode": "easycache", "cache_reuse_threshold": 0.3,
                "cache_start_percent": 0.1, "cache_end_percent": 0.9,
            },
        ),
        (
            "cache-dit",
            "threshold=0.12,Fn=4,bn=2",
            {
                "cache_mode": "cachedit", "cache_residual_diff_threshold": 0.12,
                "cache_Fn_compute_blocks": 4, "cache_Bn_compute_blocks": 2,
            },
        ),
        (
            "spectrum",
            "w=0.5,m=2,lam=0.1,window=3,flex=0.25,warmup=6,stop=0.8",
            {
                "cache_mode": "spectrum", "cache_spectrum_w": 0.5, "cache_spectrum_m": 2,
                "cache_spectrum_lam": 0.1, "cache_spectrum_window_size": 3,
                "cache_spectrum_flex_window": 0.25, "cache_spectrum_warmup_steps": 6,
                "cache_spectrum_stop_percent": 0.8,
            },
        ),
    ],
)  # fmt: skip
def test_options_become_the_bindings_arguments(
    mode: str, option: str, expected: dict[str, Any]
) -> None:
    assert cache_arguments(mode, option) == expected
    kwargs = GenerationOptions("p", cache_mode=mode, cache_option=option).to_engine_kwargs()
    assert {name: value for name, value in kwargs.items() if "cache" in name} == expected


def test_a_threshold_of_one_is_not_taken_for_the_default() -> None:
    given = cache_arguments("easycache", "threshold=1")["cache_reuse_threshold"]
    assert given != 1.0
    assert given == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("mode", "option", "message"),
    [
        ("ucache", "", "'ucache', which is for UNet models; use easycache"),
        ("teacache", "", "must be one of disabled, easycache"),
        (3, "", "must be one of disabled"),
        ("disabled", "threshold=0.1", "no cache_mode is chosen"),
        ("easycache", "threshold", "must be like threshold=0.2"),
        ("easycache", "threshold=much", "threshold is 'much', but must be a number"),
        ("easycache", "threshold=nan", "threshold is nan"),
        ("easycache", "threshold=-1", "must be from 0"),
        ("easycache", "start=0.5,end=0.5", "start is 0.5 and its end 0.5"),
        ("easycache", "start=0.96", "start is 0.96 and its end 0.95"),
        ("easycache", "Fn=4", "easycache has no 'Fn', only threshold, start, end"),
        ("easycache", "threshold=1,threshold=2", "names threshold twice"),
        ("easycache", "warmup=4", "warmup has no effect with easycache"),
        ("dbcache", "warmup=4", "warmup has no effect with dbcache"),
        ("taylorseer", "start=0.1", "start has no effect with taylorseer"),
        ("dbcache", "Fn=2.5", "Fn is '2.5', but must be a whole number"),
        ("spectrum", "stop=0", "must be from 1e-06 to 1"),
        ("spectrum", "threshold=0.1", "spectrum has no 'threshold'"),
    ],
)
def test_what_the_engine_would_ignore_or_trip_over_is_refused(
    mode: str, option: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cache_arguments(mode, option)
    with pytest.raises(ValueError, match=message):
        GenerationOptions("p", cache_mode=mode, cache_option=option)


def test_a_part_of_the_steps_that_is_none_is_refused_among_the_bindings_arguments() -> None:
    none = {"cache_start_percent": 0.9, "cache_end_percent": 0.2}
    with pytest.raises(ValueError, match="the start must be below the end"):
        check_cache_arguments("easycache", none)
    check_cache_arguments("dbcache", none)  # which has no such part


def test_the_default_is_no_cache() -> None:
    assert GenerationOptions("p").cache_mode == CACHE_MODES[0] == "disabled"
