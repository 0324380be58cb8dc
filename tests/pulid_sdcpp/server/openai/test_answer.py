"""Answers as OpenAI's clients read them."""

from __future__ import annotations

import pytest

from pulid_sdcpp.server.jobs.jobs import Job
from pulid_sdcpp.server.openai.answer import (
    DeliveredPicture,
    images_answer,
    model_answer,
    models_answer,
)

WARNING = {"code": "size_rounded", "field": "size", "message": "size 1000 is made 1008"}
JOB = Job(
    "job_1", "img_gen", "local", 100.5, 1, {}, seeds=(7, 8), completed=130.9, warnings=(WARNING,)
)
PICTURES = [
    DeliveredPicture(7, 1024, 768, b64_json="YQ=="),
    DeliveredPicture(8, 1024, 768, url="http://127.0.0.1:7860/x"),
]


def test_a_whole_answer() -> None:
    people = [{"id": "0123456789ab", "name": "rose"}]
    assert images_answer(JOB, PICTURES, output_format="webp", people=people) == {
        "created": 130,
        "data": [
            {"b64_json": "YQ==", "seed": 7, "revised_prompt": None},
            {"url": "http://127.0.0.1:7860/x", "seed": 8, "revised_prompt": None},
        ],
        "background": "opaque",
        "output_format": "webp",
        "size": "1024x768",
        "usage": {
            "input_tokens": 0,
            "output_tokens": 0,
            "total_tokens": 0,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        },
        "pulid": {"job_id": "job_1", "seeds": [7, 8], "warnings": [WARNING], "people": people},
    }


def test_openais_own_types_take_it() -> None:
    types = pytest.importorskip("openai.types")
    answer = images_answer(JOB, PICTURES, output_format="png")
    read = types.ImagesResponse.model_validate(answer)  # checks, which the client does not
    assert (read.size, read.quality, read.data[0].b64_json) == ("1024x768", None, "YQ==")
    assert (read.usage.total_tokens, read.pulid["job_id"]) == (0, "job_1")
    assert types.Model.model_validate(model_answer("pocket", 5.5)).created == 5


def test_an_answer_without_pictures_has_no_size() -> None:
    answer = images_answer(JOB, [], output_format="png")
    assert (answer["data"], "size" in answer) == ([], False)


def test_models() -> None:
    assert models_answer(["flux-dev-q4", "pocket"], 5.5) == {
        "object": "list",
        "data": [model_answer("flux-dev-q4", 5), model_answer("pocket", 5)],
    }
    assert model_answer("pocket", 5)["owned_by"] == "pulid-sdcpp"
