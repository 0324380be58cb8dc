"""The HTML of the screens: whole, nothing of a user's in it is markup, and all has a name."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gradio")

from html_check import faults_of, tags_of, text_of
from pulid_sdcpp.identity.photo_warning import PhotoWarning
from pulid_sdcpp.page import screen_texts as texts
from pulid_sdcpp.page import texts as page_texts
from pulid_sdcpp.page.gallery_html import alt_of, ask_delete_html, gallery_html, picture_html
from pulid_sdcpp.page.given_photos import GivenPhoto
from pulid_sdcpp.page.grid_html import best_weight, grid_html
from pulid_sdcpp.page.models_html import download_html, models_html
from pulid_sdcpp.page.people_html import adding_html, ask_name_html, people_html
from pulid_sdcpp.page.people_screen import kinds_of_models
from pulid_sdcpp.page.recipe_drop import dropped_recipe_html
from pulid_sdcpp.page.score_html import NONE, likeness_text, scores_html
from pulid_sdcpp.server.library.library_person import IdentityOfPerson, LibraryPerson

EVIL = "<script>alert(1)</script>\"'&{x} ${y} `z`"
SCORES = {
    "people": [
        {
            "id": "a" * 10,
            "similarity": 0.714,
            "judge": 0.5,
            "best_other": {"id": "b" * 10, "similarity": -0.12},
        }
    ]
}


def picture(number: int = 0, **changed: Any) -> dict[str, Any]:
    return {
        "id": f"job_{number}-0",
        "url": f"pulid/v1/pictures/job_{number}-0",
        "thumbnail_url": f"pulid/v1/pictures/job_{number}-0/thumbnail",
        "width": 64,
        "height": 48,
        "created": 1_800_000_000.0,
        "seed": number,
        "prompt": EVIL,
        "preset": "pocket",
        "people": [{"id": "a" * 10, "name": EVIL, "known": True}],
        "favourite": True,
        "scores": SCORES,
        **changed,
    }


def person(**changed: Any) -> LibraryPerson:
    facts: dict[str, Any] = {
        "id": "a" * 10,
        "name": EVIL,
        "path": Path("alice.pulidembd"),
        "sha256": "a" * 64,
        "photos": ("1.jpg", "2.jpg"),
        "agreement": 0.66,
        "photo_warnings": (PhotoWarning("different_people", (1, 2), 0.1),),
        "has_preview": True,
        "identities": tuple(
            IdentityOfPerson(encoder, "a" * 10, "a" * 64, Path()) for encoder in ("flux", "sdxl-v1")
        ),
    }
    return LibraryPerson(**{**facts, **changed})


def photo(*faces: tuple[str, ...]) -> GivenPhoto:
    places = tuple((10.0 * number, 0.0, 9.0, 9.0) for number in range(len(faces)))
    return GivenPhoto("1.jpg", places, faces, (b"jpeg",) * len(faces))


def preset(**changed: Any) -> dict[str, Any]:
    return {
        "name": "flux-dev-q4",
        "what": EVIL,
        "for_whom": EVIL,
        "complete": False,
        "loaded": False,
        "default": False,
        "settings": {},
        "size_bytes": 12_000_000_000,
        "missing": [{"file": EVIL, "bytes": 6_800_000_000, "photos_only": False}],
        "download_bytes": 6_800_000_000,
        "licenses": [
            {
                "key": "flux-dev",
                "name": "FLUX Non-Commercial",
                "url": "https://x.example/l",
                "commercial": False,
                "accepted": False,
            }
        ],
        **changed,
    }


def grid(**changed: Any) -> dict[str, Any]:
    table = [
        {
            "prompt": prompt,
            "seed": seed,
            "weight": weight,
            "picture_id": None if (prompt, weight) == ("b", 1.2) else f"job_{prompt}{weight}-0",
            "similarity": 0.5 if weight == 0.8 else 0.7,
            "best_other": 0.1,
        }
        for prompt in (EVIL, "b")
        for weight in (0.8, 1.2)
        for seed in (7,)
    ]
    by_weight = [{"weight": 0.8, "similarity": 0.5}, {"weight": 1.2, "similarity": 0.7}]
    result = {
        "table": table,
        "weakest": "job_b0.8-0",
        "mean": 0.6,
        "mean_best_other": 0.1,
        "by_prompt": [{"prompt": "b", "similarity": 0.5}],
        "by_weight": by_weight,
    }
    return {**result, **changed}


RECIPE = {
    "request": {"prompt": EVIL, "seed": 7, "model": "pocket", "width": 64, "height": 48},
    "people": [{"id": "f" * 64, "name": "", "known": False}],
    "files_missing": [{"field": "init_image", "file": EVIL}, {"field": "mask_image", "file": None}],
    "differences": [EVIL],
}

ALL_OF_THEM = {
    "gallery": gallery_html([picture(1), picture(2)], more=True, searched=False),
    "no pictures": gallery_html([], more=False, searched=True),
    "picture": picture_html(picture(), note=EVIL),
    "nobody in it": picture_html(picture(people=[], scores=None), first=False, last=False),
    "question": ask_delete_html(EVIL, EVIL, "delete", EVIL),
    "people": people_html([person(), person(name="", has_preview=False, agreement=None)]),
    "nobody": people_html([]),
    "name": ask_name_html(EVIL),
    "adding": adding_html(
        [
            photo(("largest", "left"), ("right",)),
            photo(("largest",)),
        ]
    ),
    "no face": adding_html([photo()]),
    "models": models_html(
        [preset(), preset(name="pocket", complete=True, size_bytes=0, missing=[], licenses=[])],
        fits={"flux-dev-q4": "does not fit"},
        recommended="pocket",
        downloads={"flux-dev-q4": {"file": EVIL, "done": 5, "size": 10, "running": True}},
        notes={"pocket": EVIL},
    ),
    "recipe": dropped_recipe_html(RECIPE),
    "grid": grid_html(grid(), job="job_1", finished=False),
    "no grid": grid_html({}),
}


@pytest.mark.parametrize("name", ALL_OF_THEM)
def test_the_html_is_whole_and_all_in_it_has_a_name(name: str) -> None:
    assert faults_of(ALL_OF_THEM[name]) == []


@pytest.mark.parametrize("name", ALL_OF_THEM)
def test_nothing_of_a_user_is_markup(name: str) -> None:
    assert tags_of(ALL_OF_THEM[name], "script") == []


def test_a_pictures_alt_is_the_beginning_of_its_prompt_and_who_is_in_it() -> None:
    people = [{"name": "Alice"}, {"name": ""}]
    assert alt_of({"prompt": "a  walk\n by", "people": people}) == "a walk by (Alice)"
    assert alt_of({"prompt": "word " * 50}) == ("word " * 24).rstrip() + "…"
    assert alt_of({"prompt": ""}) == texts.PICTURE


def test_a_gallery_with_older_pictures_can_show_them() -> None:
    pictures = [picture(1)]
    assert tags_of(gallery_html(pictures, more=True, searched=False), "button", data_do="more")
    assert not tags_of(gallery_html(pictures, more=False, searched=False), "button", data_do="more")


def test_an_empty_gallery_says_whether_nothing_was_found() -> None:
    assert text_of(gallery_html([], more=False, searched=False)) == texts.NO_PICTURES
    assert text_of(gallery_html([], more=False, searched=True)) == texts.NOTHING_FOUND


def test_the_ways_to_other_pictures_end_at_the_ends() -> None:
    [back] = tags_of(picture_html(picture(), first=True, last=False), "button", data_do="back")
    [further] = tags_of(picture_html(picture(), first=True, last=False), "button", data_do="next")
    assert "disabled" in back
    assert "disabled" not in further


def test_a_picture_can_be_used_in_all_ways() -> None:
    made = {
        one["data-do"] for one in tags_of(picture_html(picture()), "button") if "data-do" in one
    }
    assert made >= {"use", "other-seed", "again", "start", "measure", "ask-delete", "favourite"}


def test_an_unknown_person_is_named_by_number_and_asked_for() -> None:
    text = text_of(picture_html(picture(people=[{"id": "f" * 64, "name": "", "known": False}])))
    assert texts.UNKNOWN_PERSON.format(id="f" * 10) in text
    assert texts.ASK_PERSON in text


def test_scores_show_the_judge_only_where_there_was_one() -> None:
    assert texts.JUDGE in text_of(scores_html(SCORES)).split()
    one = {"id": "a" * 10, "similarity": 0.7}
    assert text_of(scores_html({"people": [one]})).endswith("aaaaaaaaaa 0.70 \N{EN DASH}")
    assert texts.NO_FACE_IN_PICTURE in text_of(scores_html({"none": True}))
    assert scores_html(None) == ""


def test_a_likeness_has_two_digits_and_a_real_minus() -> None:
    assert [likeness_text(one) for one in (0.714, -0.12, -0.001, None)] == [
        "0.71",
        "\N{MINUS SIGN}0.12",
        "0.00",
        NONE,
    ]


def test_the_largest_face_is_chosen_first() -> None:
    html = adding_html([photo(("left",), ("largest", "right"))])
    chosen = [one["value"] for one in tags_of(html, "input", type="radio") if "checked" in one]
    assert chosen == ["1"]


def test_a_photo_without_a_face_says_what_helps_and_keeps_nobody() -> None:
    html = adding_html([photo()])
    assert texts.NO_FACE.format(number=1) in text_of(html)
    assert "disabled" in tags_of(html, "button", data_do="keep")[0]


def test_how_photos_are_joined_is_asked_of_several_only() -> None:
    one = photo(("largest",))
    assert not tags_of(adding_html([one]), "input", name="fusion")
    assert len(tags_of(adding_html([one, one]), "input", name="fusion")) == 2


def test_a_card_says_for_which_models_the_person_is_kept() -> None:
    assert "2 photos · for Flux, SDXL v1 · " in text_of(people_html([person()]))


def test_the_model_is_asked_for_where_there_are_several_kinds() -> None:
    one = photo(("largest",))
    assert not tags_of(adding_html([one], {"dev": "Flux"}), "select")
    html = adding_html([one], {EVIL: "Flux", "lightning": "SDXL v1"})
    assert tags_of(html, "select")[0]["name"] == "model"
    values = [(option["value"], "selected" in option) for option in tags_of(html, "option")]
    assert values == [(EVIL, True), ("lightning", False)]


def test_one_model_of_each_kind_is_offered() -> None:
    kinds = {"base": ("sdxl-v1.1",), "dev": ("flux",), "dev-q8": ("flux",), "files": ()}
    models: Any = SimpleNamespace(default="dev", settings=lambda: kinds, encoders=kinds.get)
    assert kinds_of_models(models) == {"dev": "Flux", "base": "SDXL v1.1"}


def test_terms_without_commercial_use_are_accepted_before_a_download() -> None:
    [box] = tags_of(models_html([preset()]), "input", type="checkbox")
    assert box["value"] == "flux-dev"
    accepted = [{**preset()["licenses"][0], "accepted": True}]
    assert not tags_of(models_html([preset(licenses=accepted)]), "input")
    assert texts.NON_COMMERCIAL in text_of(models_html([preset(licenses=accepted)]))


@pytest.mark.parametrize(
    ("changed", "settings", "buttons"),
    [
        ({}, {}, ["pull"]),
        ({}, {"may_download": False}, []),
        ({}, {"is_admin": False}, []),
        ({}, {"downloads": {"flux-dev-q4": {"running": True}}}, ["pause"]),
        ({}, {"downloads": {"flux-dev-q4": {"running": False}}}, ["pull"]),
        ({"complete": True, "missing": []}, {}, ["use", "verify", "ask-remove"]),
        ({"complete": True, "missing": [], "default": True}, {}, ["verify", "ask-remove"]),
        (
            {"complete": True, "missing": [], "loaded": True},
            {},
            ["use", "unload", "verify", "ask-remove"],
        ),
        ({"complete": True, "missing": []}, {"is_admin": False}, []),
    ],
)
def test_what_can_be_done_with_a_preset(
    changed: dict[str, Any], settings: dict[str, Any], buttons: list[str]
) -> None:
    html = models_html([preset(**changed)], **settings)
    assert [one["data-do"] for one in tags_of(html, "button")] == buttons


def test_the_first_visit_offers_what_works_at_once() -> None:
    pocket = preset(name="pocket", complete=True, size_bytes=0, missing=[])
    html = models_html([pocket, preset()], is_admin=False)
    assert texts.FIRST_VISIT in text_of(html)
    [button] = tags_of(html, "button", data_do="try")  # by everybody: it changes no model
    assert button["data-id"] == "pocket"
    here = preset(complete=True, missing=[])
    assert texts.FIRST_VISIT not in text_of(models_html([pocket, here]))


def test_a_download_says_how_far_it_is() -> None:
    html = download_html({"file": "a.gguf", "done": 2_000_000, "size": 10_000_000, "running": True})
    [bar] = tags_of(html, "progress")
    assert (bar["value"], bar["max"]) == ("2000000", "10000000")
    assert text_of(html) == "a.gguf: 2 MB of 10 MB"
    assert text_of(download_html({"done": 0, "size": 0, "running": False})) == texts.PAUSED


def test_a_recipe_says_what_is_missing_and_what_would_differ() -> None:
    text = text_of(dropped_recipe_html(RECIPE))
    assert "mask_image" in text
    assert texts.DIFFERENCES in text
    nothing = {**RECIPE, "request": {"prompt": "a"}, "files_missing": [], "differences": []}
    assert texts.DIFFERENCES not in text_of(dropped_recipe_html(nothing))


def test_a_grids_lowest_is_marked_with_a_word_and_what_waits_is_said() -> None:
    text = text_of(grid_html(grid(), finished=False))
    assert text.count(texts.LOWEST) == 1
    assert text.count(texts.WAITS) == 1
    assert texts.WAITS not in text_of(grid_html(grid(), finished=True))


def test_the_best_weight_is_that_of_the_highest_mean() -> None:
    assert best_weight(grid()) == 1.2
    assert best_weight(grid(by_weight=[{"weight": 1.0, "similarity": 0.9}])) is None
    [button] = tags_of(grid_html(grid(), job="job_1"), "button", data_do="weight")
    assert button["data-id"] == "1.2"


@pytest.mark.parametrize("module", [texts, page_texts])
def test_no_text_is_left_over(module: Any) -> None:
    own = Path(module.__file__)
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in own.parent.glob("*.py")
        if not path.name.endswith("texts.py")
    ) + re.sub(r'^[A-Z_]+\b|"[A-Z_]+"', "", own.read_text(encoding="utf-8"), flags=re.M)
    assert [name for name in module.__all__ if not re.search(rf"\b{name}\b", code)] == []
