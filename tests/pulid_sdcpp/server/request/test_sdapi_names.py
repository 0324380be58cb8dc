"""A1111's names of samplers and schedulers, both ways."""

import pytest

from pulid_sdcpp.options.sampling_names import SAMPLING_METHODS, SCHEDULERS
from pulid_sdcpp.server.request.sdapi_names import (
    sampler_from,
    sampler_list,
    sampler_name,
    scheduler_from,
    scheduler_label,
    scheduler_list,
    takes_eta,
)


@pytest.mark.parametrize("method", SAMPLING_METHODS)
def test_every_sampler_comes_back(method: str):
    for name in (method, sampler_name(method), sampler_name(method).upper(), f"k_{method}"):
        assert sampler_from(name) == (method, None)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_comes_back(scheduler: str):
    expected = None if scheduler == "default" else scheduler
    for name in (scheduler, scheduler_label(scheduler), scheduler_label(scheduler).lower()):
        assert scheduler_from(name) == (expected, True)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Euler a", ("euler_a", None)),
        ("k_euler_ancestral", ("euler_a", None)),
        ("k_dpmpp_2m", ("dpm++2m", None)),
        ("k_dpmpp_2s_a", ("dpm++2s_a", None)),
        ("k_dpm_2", ("dpm2", None)),
        ("DPM++ 2M Karras", ("dpm++2m", "karras")),
        ("dpm++ 2s a karras", ("dpm++2s_a", "karras")),
        ("k_dpmpp_sde", ("dpm++sde", None)),
        ("DPM++ SDE Karras", ("dpm++sde", "karras")),
        ("DPM++ 2M SDE", (None, None)),
        ("Euler Exponential", ("euler", "exponential")),
        ("DPM++ 2M SGM Uniform", ("dpm++2m", "sgm_uniform")),
        ("Euler Automatic", ("euler", None)),
        ("LCM", ("lcm", None)),
        ("DDIM", ("ddim_trailing", None)),
        ("res_2s", ("res_2s", None)),
        ("UniPC", (None, None)),
        ("UniPC Karras", (None, None)),
        ("", (None, None)),
        ("Karras", (None, None)),
    ],
)
def test_spellings_of_samplers(name: str, found: tuple[str | None, str | None]):
    assert sampler_from(name) == found


@pytest.mark.parametrize("name", ["Automatic", "automatic", "Normal", "", "None", "default"])
def test_schedulers_that_leave_the_choice_to_us(name: str):
    assert scheduler_from(name) == (None, True)


def test_unknown_schedulers():
    assert scheduler_from("Turbo") == (None, False)


def test_lists_have_every_name_once():
    assert len({one["name"] for one in sampler_list()}) == len(SAMPLING_METHODS)
    assert len({one["label"] for one in scheduler_list()}) == len(SCHEDULERS)
    assert scheduler_list()[0] == {
        "name": "automatic",
        "label": "Automatic",
        "aliases": ["default"],
        "default_rho": -1,
        "need_inner_model": False,
    }


def test_eta_is_meant_for_samplers_with_noise():
    assert takes_eta("euler_a")
    assert not takes_eta("euler")
    assert not takes_eta(None)
