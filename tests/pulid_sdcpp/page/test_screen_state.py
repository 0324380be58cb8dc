"""What the screens keep of a browser and make of what was pressed there."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gradio")

import gradio as gr
from PIL import Image

from pulid_sdcpp.page.gallery_state import PAGE, Shown, with_names
from pulid_sdcpp.page.given_photos import GivenPhoto, cut_out, enrolment_values, read_given
from pulid_sdcpp.page.grid_state import grid_body, grid_count, numbers_in, time_text
from pulid_sdcpp.page.live import html, pressed_in
from pulid_sdcpp.page.people_screen import _PeopleEvents
from pulid_sdcpp.page.picture_dialog import PictureDialog, settings_of_picture
from pulid_sdcpp.page.screen_parts import going_to, told, told_step_by_step
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.limits import Limits


def pictures(count: int) -> list[dict[str, Any]]:
    return [{"id": str(number)} for number in range(count)]


def event(data: Any) -> Any:
    return gr.EventData(None, data)


def png(*size: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, "PNG")
    return out.getvalue()


def test_what_was_pressed_is_text_whatever_a_browser_sends() -> None:
    pressed = pressed_in(
        event({"do": "keep", "id": 7, "value": True, "fields": {"name": [" a ", 1]}, "picked": "x"})
    )
    assert (pressed.do, pressed.id, pressed.value, pressed.picked) == ("keep", "", "true", ())
    assert pressed.text("name") == "a"
    assert pressed.text("other") == ""


@pytest.mark.parametrize("data", [None, [], "x", {"fields": [], "picked": {}}, {"do": None}])
def test_nonsense_is_nothing_pressed(data: Any) -> None:
    assert pressed_in(event(data)).do == ""


def test_html_escapes_all_but_html_of_ours() -> None:
    assert html("<b>{x}{}</b>", html("<i>{}</i>", "&"), x="<") == "<b>&lt;<i>&amp;</i></b>"


def test_a_page_of_pictures_knows_whether_there_are_older_ones() -> None:
    shown = Shown().with_page(pictures(PAGE + 1))
    assert (len(shown.pictures), shown.more) == (PAGE, True)
    assert not Shown().with_page(pictures(PAGE)).more


def test_pictures_have_neighbours_and_can_change_and_go() -> None:
    shown = Shown().with_page(pictures(3))
    assert [shown.beside("1", by) for by in (-1, 1)] == ["0", "2"]
    assert [shown.beside("0", -1), shown.beside("2", 1), shown.beside("x", 1)] == ["", "", ""]
    shown = shown.with_picture({"id": "1", "favourite": True}).without(["0"])
    assert shown.pictures == ({"id": "1", "favourite": True}, {"id": "2"})


def test_new_pictures_come_before_those_that_are_shown() -> None:
    shown = Shown("cat").with_page(pictures(5)).without(["2"])
    newest = Shown("cat").with_page([{"id": "new"}, *pictures(6)])
    assert [one["id"] for one in shown.with_newest(newest).pictures] == ["new", *"0134"]
    assert shown.with_newest(shown) == shown
    assert Shown("cat").with_newest(newest) == newest
    others = Shown("cat").with_page([{"id": f"new-{number}"} for number in range(PAGE + 1)])
    assert shown.with_newest(others) == others
    assert shown.again() == Shown("cat")


def test_who_is_most_alike_otherwise_is_named() -> None:
    scores = {"faces": 1, "people": [{"id": "a", "best_other": {"id": "b"}}, {"id": "c"}]}
    named = with_names(scores, {"b": "Bob"})
    assert named["people"][0]["best_other"] == {"id": "b", "name": "Bob"}
    assert named["people"][1] == {"id": "c"}
    assert named["faces"] == 1


def test_a_picture_is_made_again_alone_and_by_its_seed() -> None:
    request = {"prompt": "a", "batch_count": 4, "seed": 1}
    assert settings_of_picture(request, 3) == {"prompt": "a", "seed": 3}


def test_a_grids_body_has_what_is_said() -> None:
    body = grid_body(["Alice"], " a \n\nb", "1 2", "0.8; 1", {"steps": 4})
    assert body == {
        "people": [{"identity": "Alice"}],
        "request": {"steps": 4},
        "prompts": ["a", "b"],
        "seeds": [1, 2],
        "weights": [0.8, 1.0],
    }
    assert grid_count(body, 8) == 8
    assert grid_count(grid_body([], "", "", "", {}), 8) == 8


@pytest.mark.parametrize(("text", "kind"), [("1, x", int), ("1.5", int), ("a", float)])
def test_what_is_no_number_names_the_field(text: str, kind: Any) -> None:
    with pytest.raises(ApiError) as caught:
        numbers_in(text, kind, "seeds")
    assert caught.value.param == "seeds"


def test_times_are_rough() -> None:
    assert [time_text(one) for one in (0.2, 42, 600, 9000)] == ["1 s", "42 s", "10 min", "2.5 h"]


def test_one_photo_says_which_face(tmp_path: Path) -> None:
    photo = GivenPhoto("1", ((0, 0, 5, 5), (6, 0, 5, 5)), (("left",), ("largest",)))
    values, parts = enrolment_values([photo], [b"png"], [0], "mean")
    assert values == {"photos": ["file:photo-1"], "face": 0}
    assert parts == {"photo-1": b"png"}
    assert [photo.chosen(one) for one in ("0", "1", "2", "-1", "", "\u0663")] == [0, 1, 1, 1, 1, 1]


def test_of_several_photos_the_faces_are_cut_out_where_they_are_not_the_largest() -> None:
    group = GivenPhoto("1", ((10, 10, 20, 20), (60, 10, 30, 30)), ((), ("largest",)))
    alone = GivenPhoto("2", ((10, 10, 20, 20),), (("largest",),))
    pngs = [png(100, 50), png(40, 40)]
    values, parts = enrolment_values([group, alone], pngs, [1, 0], "mean")
    assert list(parts.values()) == pngs
    assert (values["face"], values["fusion"]) == ("largest", "mean")
    values, parts = enrolment_values([group, alone], pngs, [0, 0], "mean")
    assert Image.open(io.BytesIO(parts["photo-1"])).size == (42, 42)
    assert parts["photo-2"] == pngs[1]


def test_what_is_cut_out_ends_at_the_photos_edge() -> None:
    assert Image.open(io.BytesIO(cut_out(png(50, 50), (-5, 30, 20, 40)))).size == (39, 44)


def test_a_photo_that_is_gone_is_asked_for_again(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="give it again"):
        read_given(str(tmp_path / "gone.png"), Limits())


def test_one_output_is_no_list() -> None:
    fields: list[Any] = []
    parts: Any = SimpleNamespace(fields=fields, fill=lambda body, owner: [body["seed"]])
    parts.fill = lambda body, owner: [body["seed"] for _ in fields]
    assert going_to(parts, "grid") == "grid"
    fields.append("seed")
    assert going_to(parts, "create", {"seed": 7}, "local") == ["create", 7]


def run(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def test_an_errors_message_is_told_and_a_defect_is_not(caplog: pytest.LogCaptureFixture) -> None:
    @told
    async def refused(error: Exception) -> None:
        raise error

    @told_step_by_step
    async def steps() -> Any:
        yield 1
        raise ApiError("name_taken", "somebody is called so")

    async def all_steps() -> list[int]:
        return [one async for one in steps()]

    with pytest.raises(gr.Error, match="somebody is called so"):
        run(all_steps())
    with pytest.raises(gr.Error) as caught:
        run(refused(RuntimeError("secret")))
    assert "secret" not in str(caught.value)
    assert "secret" in caplog.text


@pytest.mark.parametrize(("code", "is_told"), [("not_found", False), ("forbidden", True)])
def test_a_picture_that_another_page_removed_is_removed(
    code: str, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise ApiError(code, "no")

    monkeypatch.setattr("pulid_sdcpp.page.picture_dialog.remove_picture", refuse)
    dialog: Any = SimpleNamespace(_service=None)
    call: Any = SimpleNamespace(sees="local")
    with pytest.raises(ApiError) if is_told else contextlib.nullcontext():
        run(PictureDialog._remove(dialog, "job_1-0", call))


def test_photos_of_nobody_who_is_kept_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulid_sdcpp.page.people_screen.call_in", lambda request: None)
    file = tmp_path / "photo.png"
    file.write_bytes(png(4, 4))
    nobody: Any = None

    async def cancelled() -> list[Any]:
        screen = _PeopleEvents(nobody, nobody)
        steps = screen.kept((GivenPhoto(str(file)),), nobody, event({"do": "reset"}))
        return [one async for one in steps]

    assert len(run(cancelled())) == 1
    assert not file.exists()
