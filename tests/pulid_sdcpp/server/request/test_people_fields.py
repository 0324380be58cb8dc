"""People of a body: one in it or in `pulid`, several in `people`; conflicts; regions."""

from typing import Any

import pytest

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.request.aliases import PERSON_NAMES
from pulid_sdcpp.server.request.person_fields import PersonFields
from server_requests import KeptText, Limits, request_of

VALUES: dict[str, Any] = {
    "identity": "alice",
    "embedding": "file",
    "photo": "face",
    "photos": ["one", "two"],
    "face": 1,
    "fusion": "mean",
    "weight": 0.8,
    "start_step": 4,
    "end_step": 0.75,
    "region": {"box": [0, 0, 0.5, 1]},
    "name": "Rose",
}


def people_of(body: dict[str, Any], **options: Any) -> tuple[PersonFields, ...]:
    return request_of({"prompt": "x", **body}, **options).people


def error_of(body: dict[str, Any]) -> tuple[str, str | None]:
    with pytest.raises(ApiError) as caught:
        people_of(body)
    return caught.value.code, caught.value.param


@pytest.mark.parametrize("name", PERSON_NAMES)
@pytest.mark.parametrize("place", ["body", "pulid", "people"])
def test_every_name_of_a_field_of_a_person(name: str, place: str):
    option = PERSON_NAMES[name]
    person = {name: VALUES[option]}
    if option not in ("identity", "embedding", "photo", "photos"):
        person["photo"] = "face"
    body = {"body": person, "pulid": {"pulid": person}, "people": {"people": [person]}}[place]
    (found,) = people_of(body)
    expected = {
        "identity": PersonFields(identity="alice"),
        "embedding": PersonFields(embedding=KeptText("file")),
        "photo": PersonFields(photos=(KeptText("face"),)),
        "photos": PersonFields(photos=(KeptText("one"), KeptText("two"))),
        "face": PersonFields(photos=(KeptText("face"),), face=1),
        "name": PersonFields(photos=(KeptText("face"),), name="Rose"),
        "region": PersonFields(photos=(KeptText("face"),), box=(0, 0, 0.5, 1)),
    }
    given = PersonFields(photos=(KeptText("face"),), options={option: VALUES[option]})
    assert found == expected.get(option, given)


@pytest.mark.parametrize(
    "path",
    ["/models/alice.pulidembd", r"C:\faces\alice.pulidembd", "alice.safetensors", "alice"],
)
def test_a_path_of_others_is_a_name(path: str):
    assert people_of({"pulid_id_embedding_path": path})[0].identity == "alice"


def test_several_people():
    people = people_of(
        {
            "people": [
                {"identity": "alice", "region": {"box": [0, 0, 0.5, 1]}, "weight": 0.9},
                {"photo": "p", "face": 1, "start_step": 4, "region": {"mask": "m"}, "name": "Bo"},
            ]
        }
    )
    assert people == (
        PersonFields(identity="alice", box=(0, 0, 0.5, 1), options={"weight": 0.9}),
        PersonFields(
            photos=(KeptText("p"),),
            face=1,
            options={"start_step": 4},
            mask=KeptText("m"),
            name="Bo",
        ),
    )


def test_a_person_partly_in_pulid_with_the_pictures_cfg():
    body = {"prompt": "x", "photo": "p", "pulid": {"weight": 2, "true_cfg": 3, "cfg_start_step": 1}}
    request = request_of(body)
    assert request.people == (PersonFields(photos=(KeptText("p"),), options={"weight": 2.0}),)
    assert (request.options["cfg_scale"], request.options["cfg_start_step"]) == (3.0, 1)


@pytest.mark.parametrize(
    "body",
    [
        {"people": []},
        {"pulid": {}},
        {"pulid": None},
        {"pulid_id_embedding_path": "", "photos": [], "id_image": None},
        {"pulid": {"identity": "", "people": []}},
    ],
)
def test_fields_that_say_nothing_are_nobody(body: dict[str, Any]):
    assert people_of(body) == ()


@pytest.mark.parametrize("weight", [0, 5, "1.5"])
def test_weights(weight: Any):
    assert people_of({"id": "alice", "id_weight": weight})[0].options["weight"] == float(weight)


@pytest.mark.parametrize(
    ("step", "found"), [(4, 4), (4.0, 4), (0.5, 0.5), ("20%", 0.2), (1, 1), (1.0, 1.0)]
)
def test_steps_are_numbers_or_parts(step: Any, found: Any):
    (person,) = people_of({"id": "alice", "end_step": step})
    assert person.options["end_step"] == found
    assert type(person.options["end_step"]) is type(found)


@pytest.mark.parametrize(
    ("face", "found"),
    [
        ("left", "left"),
        (2, 2),
        ("2", 2),
        ([1, 2, 30, 40], (1.0, 2.0, 30.0, 40.0)),
        ("1,2,30,40", (1.0, 2.0, 30.0, 40.0)),
        (["left", "left"], "left"),
        ([1, 1], 1),
    ],
)
def test_choices_of_a_face(face: Any, found: Any):
    assert people_of({"photos": ["a", "b"], "face": face})[0].face == found


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"photo": "a", "identity": "b"}, "identity_conflict", "photo"),
        ({"photo": "a", "photos": ["b"]}, "identity_conflict", "photos"),
        ({"photo": "a", "id_image": "a"}, "identity_conflict", "id_image"),
        ({"photo": "a", "pulid": {"photo": "b"}}, "identity_conflict", "pulid.photo"),
        ({"photo": "a", "people": [{"identity": "b"}]}, "identity_conflict", "photo"),
        ({"weight": 1, "people": [{"identity": "b"}]}, "identity_conflict", "weight"),
        ({"pulid": {"id": "a"}, "people": [{"id": "b"}]}, "identity_conflict", "pulid.id"),
        (
            {"pulid": {"people": [{"id": "a"}]}, "people": [{"id": "b"}]},
            "identity_conflict",
            "people",
        ),
        ({"weight": 0.5}, "identity_without_person", "weight"),
        ({"id_start_step": 2}, "identity_without_person", "id_start_step"),
        ({"pulid": {"face": "left"}}, "identity_without_person", "pulid.face"),
        ({"people": [{"id": "a"}, {}]}, "identity_without_person", "people[1]"),
        ({"people": [{"weight": 1}]}, "identity_without_person", "people[0].weight"),
        ({"people": [{"id": "a", "wait": 1}]}, "unknown_field", "people[0].wait"),
        ({"pulid": {"id": "a", "wait": 1}}, "unknown_field", "pulid.wait"),
        ({"id": "a", "region": {"bocks": []}}, "unknown_field", "region.bocks"),
        ({"people": {"id": "a"}}, "invalid_value", "people"),
        ({"people": ["a"]}, "invalid_value", "people[0]"),
        ({"pulid": ["a"]}, "invalid_value", "pulid"),
        ({"people": [{"id": "a"}] * 9}, "invalid_value", "people"),
        ({"photos": ["a"] * 9}, "invalid_value", "photos"),
        ({"photos": "a"}, "invalid_value", "photos"),
        ({"photos": ["a", "bad"]}, "bad_image", "photos[1]"),
        (
            {"people": [{"id": "a", "region": {"mask": "bad"}}]},
            "bad_image",
            "people[0].region.mask",
        ),
        ({"id": "a", "weight": 5.1}, "invalid_value", "weight"),
        ({"id": "a", "pulid_id_weight": "x"}, "invalid_value", "pulid_id_weight"),
        ({"id": "a", "start_step": -1}, "invalid_value", "start_step"),
        ({"id": "a", "start_step": 1.5}, "invalid_value", "start_step"),
        ({"id": "a", "fusion": "both"}, "invalid_value", "fusion"),
        ({"id": "a", "face": "left"}, "invalid_value", "face"),
        ({"photo": "a", "face": "upper"}, "invalid_value", "face"),
        ({"photos": ["a", "b"], "face": ["left"]}, "invalid_value", "face"),
        ({"photos": ["a", "b"], "face": ["left", "right"]}, "unsupported", "face"),
        ({"id": "../a"}, "invalid_value", "id"),
        ({"id": "a/b"}, "invalid_value", "id"),
        ({"id": "C:a"}, "invalid_value", "id"),
        ({"id": "a\0"}, "invalid_value", "id"),
        ({"id": 7}, "invalid_value", "id"),
        ({"pulid_id_embedding_path": "a" * 1001}, "invalid_value", "pulid_id_embedding_path"),
        ({"pulid_id_embedding_path": "/"}, "invalid_value", "pulid_id_embedding_path"),
        ({"id": "a", "region": 5}, "invalid_value", "region"),
        ({"id": "a", "region": {"box": [0, 0, 1, 1], "mask": "m"}}, "invalid_value", "region"),
        ({"id": "a", "region": {"box": [0, 0, 2]}}, "invalid_value", "region.box"),
        ({"id": "a", "region": {"box": [0.5, 0, 1, 1]}}, "invalid_value", "region.box"),
        ({"id": "a", "region": {"box": "left"}}, "invalid_value", "region.box"),
        ({"people": [{"id": "a", "name": "x/y"}]}, "invalid_value", "people[0].name"),
    ],
)
def test_errors_of_people(body: dict[str, Any], code: str, param: str):
    assert error_of(body) == (code, param)


def test_limits_are_the_servers():
    limits = Limits(max_people=1, max_photos=1)
    with pytest.raises(ApiError):
        people_of({"people": [{"id": "a"}, {"id": "b"}]}, limits=limits)
    assert len(people_of({"people": [{"id": "a"}] * 20}, limits=None)) == 20
