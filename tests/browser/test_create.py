"""Create and Queue as people use them: whose face, where in the picture, and in which order."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, TimeoutError, expect

from pulid_sdcpp.page import texts
from pulid_sdcpp.page.card_choices import example_of, example_portrait
from tests.pulid_sdcpp.server.running import RunningServer, running_server

from .visit import BEHIND_THE_BAR, DESKTOP, PHONE, Visit

pytestmark = [pytest.mark.engine, pytest.mark.extract]

Visiting = Callable[..., AbstractContextManager[Visit]]
SEED = re.compile(r"Seed \d+")
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


def ready(here: Visit) -> Page:
    page = here.go()
    expect(page.get_by_role("textbox", name=texts.PROMPT).first).to_have_value(re.compile("."))
    return page


def file_of(picture: Image.Image) -> FilePayload:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return {"name": "photo.png", "mimeType": "image/png", "buffer": out.getvalue()}


def three_people() -> FilePayload:
    portraits = [
        Image.open(io.BytesIO(example_portrait(example_of(name)) or b"")).convert("RGB")
        for name in ("rose", "mila", "omar")
    ]
    side = portraits[0].width
    photo = Image.new("RGB", (3 * side, side))
    for number, portrait in enumerate(portraits):
        photo.paste(portrait, (number * side, 0))
    return file_of(photo)


def give_photo(page: Page, card: int, photo: FilePayload) -> None:
    """And once more if it was lost, as it is while the page is still being drawn."""
    field = page.locator(f"#photo-{card} input[type=file]")
    answer = page.locator(f"#faces-{card}").locator("[role=radio], [role=alert]").first
    for _ in range(4):
        if field.count():
            field.set_input_files(photo)
        with contextlib.suppress(TimeoutError):
            answer.wait_for(timeout=30_000)
            return
    raise AssertionError("nothing is said of the photo")


def choose(page: Page, card: int, name: str) -> None:
    page.locator(f"#who-{card} input").click()
    page.get_by_role("option", name=name).click()


def made_by(page: Page, server: RunningServer) -> dict[str, Any]:
    """Generate, and give how the picture was made, as the server reads it from its file."""
    with server.client() as client:
        before = len(client.get("/pulid/v1/pictures").json()["pictures"])
        page.get_by_role("button", name=texts.GENERATE, exact=True).click()
        for _ in range(600):
            pictures = client.get("/pulid/v1/pictures").json()["pictures"]
            if len(pictures) > before:
                recipe = client.get(f"/pulid/v1/pictures/{pictures[0]['id']}/recipe").json()
                return dict(recipe)
            page.wait_for_timeout(200)
    raise AssertionError(page.locator("#form-said").inner_text())


@SIZES
def test_one_of_three_faces_is_chosen_and_kept_by_name(
    visit: Visiting, server: RunningServer, size: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = f"Face {request.node.callspec.id}"
    with visit(server.url, **size) as here:
        page = ready(here)
        give_photo(page, 0, three_people())
        faces = page.get_by_role("radio", name=re.compile("^Face"))
        expect(faces).to_have_count(3)
        chosen = faces.nth(1)
        if size is PHONE:
            chosen = faces.nth(0)
            chosen.tap()
        else:  # by keyboard only
            faces.first.focus()
            page.keyboard.press("ArrowRight")
            page.keyboard.press("Enter")
        expect(chosen).to_have_attribute("aria-checked", "true")
        here.check_access(BEHIND_THE_BAR)
        here.screenshot(f"faces-{request.node.callspec.id}")
        page.get_by_role("button", name=texts.WHEN).first.click()
        typed = page.get_by_role("textbox", name=texts.NAME, exact=True).first
        typed.fill(name)
        page.wait_for_timeout(1000)  # the part that was opened is still being drawn
        typed.fill(name)
        page.get_by_role("button", name=texts.KEEP).first.click()
        expect(page.get_by_text(texts.KEPT_AS.format(name=name))).to_be_visible()
        with server.client() as client:
            people = client.get("/pulid/v1/identities").json()["identities"]
        assert name in [one["name"] for one in people]
        (person,) = made_by(page, server)["request"]["people"]
        assert person["identity"] in {one["id"] for one in people if one["name"] == name}


def test_a_photo_without_a_face_is_refused_beside_the_field_and_by_generate(
    visit: Visiting, server: RunningServer
) -> None:
    with visit(server.url) as here:
        page = ready(here)
        give_photo(page, 0, file_of(Image.new("RGB", (300, 300), "#88aacc")))
        expect(page.locator("#faces-0").get_by_role("alert")).to_have_text(texts.NO_FACE)
        page.get_by_role("button", name=texts.GENERATE, exact=True).click()
        expect(page.locator("#form-said").get_by_role("alert")).to_contain_text(texts.NO_FACE)


def two_people(page: Page) -> Locator:
    """Two drawn people; gives the choices of their places."""
    choose(page, 0, "Mila (drawn example)")
    page.get_by_role("button", name=texts.ADD_PERSON).click()
    choose(page, 1, "Omar (drawn example)")
    page.get_by_role("button", name=texts.PLACES_TITLE).click()
    places = page.locator("#region-stage select")
    expect(places).to_have_count(2)
    places.nth(0).select_option(label="left half")
    places.nth(1).select_option(label="right third")
    expect(page.locator(".stage-box")).to_have_count(2)
    return places


def test_places_are_dragged_or_said_in_numbers_or_by_keyboard(
    visit: Visiting, server: RunningServer
) -> None:
    with visit(server.url) as here:
        page = ready(here)
        two_people(page)
        box = page.locator(".stage-box").nth(0)
        box.evaluate("box => box.scrollIntoView({block: 'center'})")
        stage, corner = page.locator(".stage").bounding_box(), box.bounding_box()
        assert stage is not None
        assert corner is not None
        at = corner["x"] + corner["width"] - 8, corner["y"] + corner["height"] - 8
        page.mouse.move(*at)
        page.mouse.down()  # the corner, to a fifth less of the width and half the height
        page.mouse.move(at[0] - stage["width"] / 5, at[1] - stage["height"] / 2, steps=6)
        page.mouse.up()
        here.screenshot("places")
        here.check_access(BEHIND_THE_BAR)
        widths = page.locator("#region-stage").get_by_role("spinbutton", name="Width")
        widths.nth(1).fill("30")
        page.keyboard.press("Tab")
        page.locator(".stage-box").nth(1).focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
        expect(page.locator(".stage-box").nth(1)).to_be_focused()
        first, second = made_by(page, server)["request"]["people"]
        assert first["region"]["box"] == pytest.approx([0, 0, 0.3, 0.5], abs=0.03)
        assert second["region"]["box"] == pytest.approx([0.657, 0, 0.3, 0.99])


def test_a_place_is_painted_and_paint_is_undone(visit: Visiting, server: RunningServer) -> None:
    with visit(server.url) as here:
        page = ready(here)
        choose(page, 0, "Rose (drawn example)")
        page.get_by_role("button", name=texts.PLACES_TITLE).click()
        expect(page.locator("#region-stage select")).to_have_count(1)
        page.get_by_role("button", name=texts.BRUSH).click()
        canvas = page.locator("#place-canvas canvas").first
        expect(canvas).to_be_visible()
        page.get_by_role("button", name=texts.BRUSH_USE).click()
        expect(page.get_by_text(texts.NOT_PAINTED)).to_be_visible()
        page.locator("#place-canvas").get_by_role("button", name="Brush").first.click()
        canvas.scroll_into_view_if_needed()
        for part in (0.3, 0.6):
            field = canvas.bounding_box()
            assert field is not None
            y = field["y"] + field["height"] * part
            page.mouse.move(field["x"] + field["width"] * 0.4, y)
            page.mouse.down()
            page.mouse.move(field["x"] + field["width"] * 0.6, y, steps=6)
            page.mouse.up()
            page.wait_for_timeout(500)
        page.locator("#place-canvas").get_by_role("button", name="Undo").click()
        here.screenshot("painted")
        page.get_by_role("button", name=texts.BRUSH_USE).click()
        expect(page.locator("#region-stage")).to_contain_text(texts.STAGE["painted"])
        assert "mask" in str(made_by(page, server)["files_missing"])  # nowhere but with its job


def test_waiting_jobs_are_moved_changed_and_cancelled(
    visit: Visiting, server: RunningServer
) -> None:
    with server.client() as client, visit(server.url) as here:
        client.post("/pulid/v1/queue/pause").raise_for_status()
        try:
            ids = [
                client.post("/sdcpp/v1/img_gen", json={"prompt": f"a {name}"}).json()["id"]
                for name in ("cat", "dog", "owl")
            ]
            page = here.go("/#queue")
            rows = page.locator(".job-queued .job-title")
            expect(rows).to_have_text(["a cat", "a dog", "a owl"])
            here.check_access()
            here.screenshot("queue")
            page.get_by_role("button", name=f"{texts.UP}: a owl").click()
            expect(rows).to_have_text(["a cat", "a owl", "a dog"])
            page.get_by_role("button", name=f"{texts.CANCEL}: a cat").click()
            expect(rows).to_have_text(["a owl", "a dog"])
            page.get_by_role("button", name=f"{texts.EDIT}: a dog").click()
            expect(page.get_by_role("textbox", name=texts.PROMPT).first).to_have_value("a dog")
            states = [client.get(f"/sdcpp/v1/jobs/{one}").json()["status"] for one in ids]
            assert states == ["cancelled", "cancelled", "queued"]
        finally:
            client.post("/pulid/v1/queue/resume")
