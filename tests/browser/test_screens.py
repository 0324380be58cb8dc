"""The screens People, Gallery, Grid and Models in a browser, over a real server."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pulid_sdcpp.page import screen_texts as texts
from tests.pulid_sdcpp.server.running import RunningServer, running_server

from .visit import PHONE, Visit

pytestmark = pytest.mark.engine

Visiting = Callable[..., AbstractContextManager[Visit]]
PORTRAITS = Path("pulid_sdcpp/pocket/model/portraits").resolve()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with two people, and three pictures of which one is of a person."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        with server.client() as client:
            for name in ("alba", "omar"):
                photo = (PORTRAITS / f"{name}.png").read_bytes()
                form: dict[str, Any] = {"data": {"name": name.title()}, "files": {"photo": photo}}
                client.post("/pulid/v1/identities", **form).raise_for_status()
            for body in (
                {"prompt": "a man <b>with</b> red hair", "n": 2, "seed": 7},
                {"prompt": "a portrait", "seed": 9, "people": [{"identity": "Alba"}]},
            ):
                client.post("/v1/images/generations", json=body).raise_for_status()
        yield server


def screen(page: Page, name: str) -> Any:
    """A screen, shown."""
    page.wait_for_selector("#rail a", state="attached")
    page.evaluate(f"location.hash = '{name}'")
    found = page.locator(f"#screen-{name}")
    expect(found).to_be_visible()
    return found


def test_the_gallery_is_looked_through_without_a_mouse(
    visit: Visiting, server: RunningServer
) -> None:
    with visit(server.url) as here:
        page = here.go()
        gallery = screen(page, "gallery")
        cards = gallery.locator("[data-card]")
        expect(cards).to_have_count(3)
        here.screenshot("gallery")
        here.check_access()
        here.check_width()
        cards.first.focus()
        page.keyboard.press("ArrowRight")
        expect(cards.nth(1)).to_be_focused()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("a man <b>with</b> red hair")
        page.keyboard.press("ArrowLeft")
        expect(dialog).to_contain_text("Alba")
        expect(dialog.locator("img")).to_have_attribute("alt", "a portrait (Alba)")
        here.screenshot("gallery-picture")
        here.check_access()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(cards.nth(1)).to_be_focused()
        page.keyboard.press("/")
        page.keyboard.type("red")
        expect(cards).to_have_count(2)


def test_a_picture_is_measured_marked_saved_with_others_and_deleted(
    visit: Visiting, server: RunningServer
) -> None:
    with visit(server.url) as here:
        page = here.go()
        gallery = screen(page, "gallery")
        gallery.locator("[data-card]").first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name=texts.MEASURE).click()
        expect(dialog.get_by_role("row", name="Alba")).to_be_visible()
        assert float(dialog.get_by_role("row", name="Alba").get_by_role("cell").first.inner_text())
        dialog.get_by_role("button", name=texts.FAVOURITE).click()
        expect(dialog.get_by_role("button", name=texts.FAVOURITE)).to_have_attribute(
            "aria-pressed", "true"
        )
        dialog.get_by_role("button", name=texts.START_FROM_IT).click()
        expect(page.locator("#screen-create")).to_be_visible()
        gallery = screen(page, "gallery")
        for box in gallery.get_by_role("checkbox", name="Pick").all()[:2]:
            box.check()
        with page.expect_download() as download:
            gallery.get_by_role("button", name=texts.ZIP).click()
        saved = zipfile.ZipFile(download.value.path())
        assert saved.testzip() is None
        assert len(saved.namelist()) == 2
        for name in saved.namelist():
            Image.open(io.BytesIO(saved.read(name))).load()
        gallery.get_by_role("button", name=texts.PICK_NONE).click()
        gallery.get_by_role("checkbox", name="Pick").last.check()
        gallery.get_by_role("button", name=texts.DELETE, exact=True).click()
        question = page.get_by_role("alertdialog")
        expect(question.get_by_role("button", name=texts.CANCEL)).to_be_focused()
        question.get_by_role("button", name=texts.DELETE).click()
        expect(gallery.locator("[data-card]")).to_have_count(2)


def test_a_new_picture_appears_and_settings_are_used_again(
    visit: Visiting, server: RunningServer
) -> None:
    with visit(server.url) as here, server.client() as client:
        page = here.go()
        gallery = screen(page, "gallery")
        cards = gallery.locator("[data-card]")
        expect(cards.first).to_be_visible()
        count = cards.count()
        body = {"prompt": "a picture of just now", "seed": 3}
        client.post("/v1/images/generations", json=body).raise_for_status()
        expect(cards).to_have_count(count + 1)
        expect(cards.first).to_have_accessible_name(texts.OPEN_PICTURE.format(alt=body["prompt"]))
        for _ in range(2):  # the second time goes to the same screen as the first
            gallery = screen(page, "gallery")
            cards.first.click()
            page.get_by_role("dialog").get_by_role("button", name=texts.USE_SETTINGS).click()
            expect(page.locator("#screen-create")).to_be_visible()


def test_a_recipe_is_read_of_a_picture_that_is_dropped(
    visit: Visiting, server: RunningServer, tmp_path: Path
) -> None:
    with server.client() as client:
        [newest, *_] = client.get("/pulid/v1/pictures").json()["pictures"]
        content = client.get(newest["url"]).content
    (tmp_path / "any.png").write_bytes(content)
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    with visit(server.url) as here:
        page = here.go()
        gallery = screen(page, "gallery")
        gallery.get_by_role("button", name=texts.DROP_PNG).click()
        gallery.locator("input[type=file]").set_input_files(tmp_path / "bare.png")
        expect(page.locator(".toast-body")).to_contain_text("That did not work")
        gallery.locator("input[type=file]").set_input_files(tmp_path / "any.png")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(newest["prompt"])
        here.check_access()
        dialog.get_by_role("button", name=texts.USE_SETTINGS).click()
        expect(page.locator("#screen-create")).to_be_visible()
        expect(page.get_by_role("textbox", name=texts.PROMPT).first).to_have_value(newest["prompt"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_person_is_added_renamed_and_forgotten_on_a_phone(
    visit: Visiting, server: RunningServer, scheme: str
) -> None:
    with visit(server.url, **PHONE, color_scheme=scheme) as here:
        page = here.go()
        people = screen(page, "people")
        expect(people.get_by_role("heading", name="Omar")).to_be_visible()
        people.get_by_role("button", name=texts.ADD_PERSON).click()
        people.locator("input[type=file]").set_input_files(PORTRAITS / "rose.png")
        expect(people.get_by_text("Face 1 of 1")).to_be_visible()
        people.get_by_role("textbox", name=texts.NAME).fill("Rose")
        here.screenshot(f"people-adding-{scheme}")
        here.check_access()
        people.get_by_role("button", name=texts.KEEP).click()
        expect(people.get_by_role("heading", name="Rose")).to_be_visible()
        people.get_by_role("button", name=f"{texts.RENAME}: Rose").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox").fill("Rosa")
        dialog.get_by_role("button", name=texts.RENAME).click()
        expect(people.get_by_role("heading", name="Rosa")).to_be_visible()
        here.screenshot(f"people-{scheme}")
        here.check_access()
        here.check_width((320, 390))
        people.get_by_role("button", name=f"{texts.FORGET}: Rosa").click()
        page.get_by_role("alertdialog").get_by_role("button", name=texts.FORGET).click()
        expect(people.get_by_role("heading", name="Rosa")).to_have_count(0)


def test_a_grid_of_a_person_fills_and_says_which_is_lowest(
    visit: Visiting, server: RunningServer
) -> None:
    with visit(server.url) as here:
        page = here.go()
        screen(page, "people").get_by_role("button", name=f"{texts.TRY_IN_GRID}: Alba").click()
        grid = page.locator("#screen-grid")
        expect(grid).to_be_visible()
        expect(grid.get_by_text(texts.GRID_COUNT.format(pictures=24))).to_be_visible()
        grid.get_by_label("Prompts").fill("a portrait, blue background\na portrait, smiling")
        grid.get_by_label("Weights").fill("0, 1")
        expect(grid.get_by_text(texts.GRID_COUNT.format(pictures=4))).to_be_visible()
        grid.get_by_role("button", name=texts.GRID_START).click()
        done = texts.GRID_PROGRESS.format(done=4, pictures=4)
        expect(grid.get_by_role("status").filter(has_text=done)).to_be_visible()
        expect(grid.get_by_text(texts.LOWEST)).to_have_count(1)
        here.screenshot("grid", whole=True)
        here.check_access()
        here.check_width()
        for link in (texts.SHEET, texts.CSV):
            with page.expect_download() as download:
                grid.get_by_role("link", name=link).click()
            assert download.value.path().stat().st_size > 100
        grid.locator("[data-card]").first.click()
        expect(page.get_by_role("dialog")).to_contain_text("blue background")
        page.keyboard.press("Escape")
        here.expect(
            "AbortError|Connection errored out|404: Not Found"
        )  # of what is followed when one leaves
        page.reload()
        expect(page.locator("#screen-grid").get_by_text(texts.LOWEST)).to_have_count(1)


def test_models_say_what_they_need_and_are_checked(visit: Visiting, server: RunningServer) -> None:
    with visit(server.url) as here:
        page = here.go()
        models = screen(page, "models")
        expect(models.get_by_text(texts.FIRST_VISIT)).to_be_visible()
        expect(models.locator(".ps-fit").first).to_be_visible()
        here.screenshot("models")
        here.check_access()
        here.check_width()
        models.get_by_role("button", name=f"{texts.VERIFY}: pocket", exact=True).click()
        verified = texts.VERIFIED.format(name="pocket")
        expect(models.get_by_role("status").filter(has_text=verified)).to_be_visible()
        models.get_by_role("button", name=f"{texts.PULL}: flux-dev-q4").click()
        expect(page.locator(".toast-body")).to_contain_text("forbid commercial use")
