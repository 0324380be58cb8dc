"""A request as JSON and back, as `settle` takes it, and from a picture's recipe."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.people.region import Region
from pulid_sdcpp.request.generate_request import FIELDS
from pulid_sdcpp.server.request.normal_request import NormalRequest
from pulid_sdcpp.server.request.request_forms import from_recipe, given_of, to_json
from server_requests import KeptText, readers_of, request_of

PEOPLE: list[dict[str, Any]] = [
    {"identity": "alice", "region": {"box": [0, 0, 0.5, 1]}, "weight": 0.9, "end_step": 1.0},
    {"photos": ["p", "q"], "face": [1, 2, 30, 40], "start_step": 4, "region": {"mask": "m"}},
    {"embedding": "e", "name": "Bo", "fusion": "mean", "start_step": "20%"},
]
FULL: dict[str, Any] = {
    "prompt": "two people playing chess",
    "negative_prompt": "blurry",
    "model": "flux-schnell",
    "width": 1000,
    "height": 768,
    "seed": 5,
    "n": 2,
    "sampler": "heun",
    "steps": 8,
    "true_cfg": 2,
    "cfg_start_step": 1,
    "custom_sigmas": [1, 0.5, 0],
    "lora": [{"path": "style", "multiplier": 0.5}, {"name": "other"}],
    "vae_tiling_params": {"enabled": True, "tile_size_x": 32, "rel_size_y": 2.0},
    "hires": {"enabled": True, "scale": 1.5},
    "init_image": "i",
    "mask_image": "m",
    "ref_images": ["r", "s"],
    "control_image": "c",
    "people": PEOPLE,
    "output_format": "webp",
    "preview": "proj",
    "title": "chess",
}

_PERSON = st.fixed_dictionaries(
    {},
    optional={
        "weight": st.floats(0, 5),
        "start_step": st.one_of(st.integers(0, 20), st.floats(0, 1)),
        "end_step": st.one_of(st.integers(0, 20), st.floats(0, 1)),
        "fusion": st.sampled_from(["idformer", "mean"]),
        "name": st.sampled_from(["Rose", "Jürgen", "a b"]),
        "region": st.sampled_from(
            [{"box": [0, 0, 0.5, 1]}, {"box": [0, 0, 64, 64]}, {"mask": "m"}]
        ),
    },
)
_WHO = st.sampled_from([{"identity": "alice"}, {"photo": "p"}, {"photos": ["p", "q"], "face": 1}])
_BODY = st.fixed_dictionaries(
    {"prompt": st.text("ab ü{}|\n", min_size=1).filter(str.strip)},
    optional={
        "negative_prompt": st.text("ab ü", max_size=5),
        "width": st.integers(1, 1024),
        "height": st.integers(1, 1024),
        "seed": st.integers(-1, 2**63 - 20),
        "n": st.integers(1, 10),
        "steps": st.integers(1, 150),
        "cfg_scale": st.floats(0, 20),
        "guidance": st.floats(0, 20),
        "eta": st.none() | st.floats(0, 1),
        "clip_skip": st.integers(-1, 12),
        "strength": st.floats(0, 1),
        "init_image": st.sampled_from(["", "i"]),
        "ref_images": st.lists(st.sampled_from(["r", "s"]), max_size=3),
        "vae_tile_size": st.tuples(st.integers(8, 64), st.integers(8, 64)).map(list),
        "people": st.lists(
            st.tuples(_WHO, _PERSON).map(lambda parts: {**parts[0], **parts[1]}), max_size=3
        ),
        "output_compression": st.integers(0, 100),
        "store": st.booleans(),
    },
)


def again(request: NormalRequest) -> NormalRequest:
    """The request through a file of JSON; nothing of it is said to be odd."""
    text = json.dumps(to_json(request), allow_nan=False)
    return request_of(json.loads(text), readers=readers_of(request), limits=None, own=True)


@given(_BODY)
@settings(max_examples=150, deadline=None)
def test_a_request_survives_its_json(body: dict[str, Any]):
    request = request_of(body)
    read = again(request)
    assert read == request
    assert read.warnings == ()
    assert to_json(read) == to_json(request)
    assert read.seeds == request.seeds


def test_a_full_request_survives_its_json():
    request = request_of(FULL)
    assert again(request) == request
    assert [person.name for person in request.people] == ["", "", "Bo"]


def test_the_json_is_a_body_in_the_servers_names():
    body = to_json(request_of(FULL))
    assert body["sample_params"] == {
        "sample_method": "heun",
        "sample_steps": 8,
        "guidance": {"txt_cfg": 2.0},
        "custom_sigmas": [1.0, 0.5, 0.0],
    }
    assert body["hires"] == {"enabled": True, "scale": 1.5}
    assert body["vae_tiling_params"]["tile_size_x"] == 32
    assert body["init_image"] == f"sha256:{KeptText('i').sha256}"
    assert body["people"][0]["identity"] == "alice"
    assert "output_compression" not in body
    assert body["title"] == "chess"


def test_given_of_has_what_settle_takes():
    request = request_of(FULL)
    files = {one.sha256: f"inputs/{one.text}.png" for one in request.kept}  # type: ignore[attr-defined]
    found = given_of(request, files, {"alice": "inputs/alice.pulidembd"})
    assert set(found) <= set(FIELDS)
    assert json.loads(json.dumps(found)) == found
    assert found["prompt"] == "two people playing chess<lora:style:0.5><lora:other:1>"
    assert (found["init_image"], found["ref_images"]) == (
        "inputs/i.png",
        ["inputs/r.png", "inputs/s.png"],
    )
    assert found["people"] == [
        {
            "name": "alice",
            "identity": "inputs/alice.pulidembd",
            "weight": 0.9,
            "end_step": 1.0,
            "region": {"box": [0, 0, 0.5, 1]},
        },
        {
            "files": ["inputs/p.png", "inputs/q.png"],
            "face": [1.0, 2.0, 30.0, 40.0],
            "start_step": 4,
            "region": {"mask": "inputs/m.png"},
        },
        {"name": "Bo", "identity": "inputs/e.png", "fusion": "mean", "start_step": 0.2},
    ]


def test_a_file_that_is_missing_is_told():
    with pytest.raises(KeyError):
        given_of(request_of({"prompt": "x", "id": "alice"}), {})


def test_from_recipe():
    generation = GenerationOptions(
        "a portrait<lora:style:0.5>", width=768, seed=9, init_image="start.png", strength=0.4
    )
    person = SimpleNamespace(
        identity=SimpleNamespace(short_hash="0123456789"),
        weight=0.9,
        start_step=4,
        end_step=None,
        region=Region(mask="mask.png"),
    )
    recipe: Any = SimpleNamespace(
        generation=generation, people=(person,), cfg_start_step=1, preset="flux-dev"
    )
    request = from_recipe(recipe, keep=lambda path: KeptText(path.name))
    assert request.model == "flux-dev"
    assert request.seeds == (9,)
    assert request.options["sampling_method"] == "euler"
    assert "hires" not in request.options
    assert request.options["cfg_start_step"] == 1
    assert request.pictures == {"init_image": (KeptText("start.png"),)}
    assert request.people[0].identity == "0123456789"
    assert request.people[0].mask == KeptText("mask.png")
    assert again(request) == request
