"""Options that are hidden in a prompt."""

from typing import Any

import pytest

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.request.body_fields import body_fields
from pulid_sdcpp.server.request.prompt_extras import split_prompt, with_extras


def block(text: str) -> str:
    return f"<sd_cpp_extra_args>{text}</sd_cpp_extra_args>"


def test_a_prompt_without_extras_stays():
    assert split_prompt(" a <b> ") == (" a <b> ", None)


def test_extras_are_taken_out_and_win():
    prompt = "a cat " + block('{"sample_params": {"sample_steps": 9}, "pulid": {"id": "a"}}')
    outer = body_fields({"prompt": prompt, "steps": 3, "id": "b", "seed": 4})
    found = with_extras(outer)
    assert found.options == {"prompt": "a cat", "steps": 9, "seed": 4}
    assert found.params["steps"] == "sample_params.sample_steps"
    assert found.people == {"pulid": {"id": "a"}}


def test_warnings_of_both_are_kept():
    found = with_extras(body_fields({"prompt": "a" + block('{"odd": 1}'), "even": 2}))
    assert [one["field"] for one in found.warnings] == ["even", "odd"]


def test_a_prompt_that_is_no_text_stays_for_whoever_checks_it():
    assert with_extras(body_fields({"prompt": 5})).options == {"prompt": 5}


@pytest.mark.parametrize("text", ["{", "[]", "5", '{"a": NaN}', '{"a": 1, "a": 2}'])
def test_what_is_no_object_is_an_error(text: str):
    with pytest.raises(ApiError) as caught:
        split_prompt("a" + block(text))
    assert caught.value.code == "bad_json"
    assert caught.value.param == "prompt"


def test_two_blocks_are_an_error():
    with pytest.raises(ApiError):
        split_prompt(block("{}") + block("{}"))


def test_strict_holds_in_it():
    body: dict[str, Any] = {"prompt": "a" + block('{"odd": 1}')}
    with pytest.raises(ApiError):
        with_extras(body_fields(body), strict=True)
