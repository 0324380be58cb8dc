"""What people do with the whole page, over a real server: first visit, keys, reloads, ill luck."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Locator, Page, expect

from pulid_sdcpp.page import texts
from tests.pulid_sdcpp.server.running import RunningServer, running_server, start_server

from .visit import BEHIND_THE_BAR, DESKTOP, PHONE, Visit

pytestmark = pytest.mark.engine

Visiting = Callable[..., AbstractContextManager[Visit]]
SEED = re.compile(r"Seed \d+")
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
KEYS = {"alice": "alices-own-key-0001", "bob": "bobs-own-key-00002"}
# Text with the spaces that some readers need: WCAG 1.4.12.
SPACED = """* { line-height: 1.5 !important; letter-spacing: 0.12em !important;
  word-spacing: 0.16em !important }"""
# What Gradio says when its connection ends, as in a reload.
CUT_OFF = "AbortError|Connection errored out|ERR_CONNECTION_RE(FUSED|SET)|ERR_EMPTY|ERR_INCOMPLETE"
LONG = {"prompt": "a portrait", "steps": 150, "batch_count": 10, "seed": 5}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


def ready(here: Visit) -> Page:
    """The page, when it can be used."""
    page = here.go()
    expect(generate_of(page)).to_be_visible()
    expect(page.get_by_role("textbox", name=texts.PROMPT).first).to_have_value(re.compile("."))
    return page


def generate_of(page: Page) -> Locator:
    return page.get_by_role("button", name=texts.GENERATE, exact=True)


def leave_person_out(page: Page) -> None:
    page.get_by_role("button", name=re.compile(texts.REMOVE_PERSON)).first.click()


@SIZES
def test_a_first_visit_ends_with_a_picture(
    visit: Visiting, server: RunningServer, size: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    with visit(server.url, **size) as here:
        page = ready(here)
        here.check_access(BEHIND_THE_BAR)
        here.screenshot(f"create-{request.node.callspec.id}")
        leave_person_out(page)
        page.get_by_role("button", name="Oil painting").click()
        expect(page.get_by_role("textbox", name=texts.PROMPT).first).to_have_value(
            re.compile("oil painting")
        )
        generate_of(page).click()
        expect(page.get_by_text(SEED).first).to_be_visible()
        picture = page.get_by_role("img", name=re.compile("oil painting")).first
        expect(picture).to_have_js_property("naturalWidth", 128)
        here.screenshot(f"created-{request.node.callspec.id}")
        here.check_access(BEHIND_THE_BAR)
        here.check_width()


def test_a_reload_finds_the_job_that_runs(visit: Visiting, server: RunningServer) -> None:
    with server.client() as client, visit(server.url) as here:
        here.expect(CUT_OFF)
        job = client.post("/sdcpp/v1/img_gen", json=LONG).json()["id"]
        page = ready(here)
        stop = page.locator(f'[data-do="cancel"][data-id="{job}"]').first
        expect(stop).to_be_visible()
        page.reload()
        expect(stop).to_be_visible()
        here.screenshot("running")
        stop.click()
        expect(page.get_by_text(texts.CANCELLED).first).to_be_visible()
        assert client.get(f"/sdcpp/v1/jobs/{job}").json()["status"] == "cancelled"


def test_the_page_recovers_when_the_server_was_started_again(
    visit: Visiting, tmp_path: Path
) -> None:
    server = start_server(tmp_path)
    with visit(server.url) as here:
        here.expect(
            "ERR_CONNECTION_RE(FUSED|SET)|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|onnection|network"
            "|Failed to fetch"
        )
        with server.client() as client:
            job = client.post(
                "/sdcpp/v1/img_gen", json={"prompt": "a portrait", "batch_count": 2, "steps": 20}
            ).json()["id"]
        ready(here)
        port = server.port
        server.kill()
        with running_server(tmp_path, port=port) as again, again.client() as client:
            page = here.page
            with contextlib.suppress(Error):  # when it is just loading itself anew
                here.go()
            expect(generate_of(page)).to_be_visible()
            expect(page.get_by_text(SEED).first).to_be_visible()
            while client.get(f"/sdcpp/v1/jobs/{job}").json()["status"] != "completed":
                page.wait_for_timeout(200)


def test_an_engine_that_was_killed_is_started_again(visit: Visiting, server: RunningServer) -> None:
    with server.client() as client, visit(server.url) as here:
        page = ready(here)
        body = {"prompt": "a person who waits", "steps": 40, "seed": 6}
        job = client.post("/sdcpp/v1/img_gen", json=body).json()["id"]
        expect(page.locator(f'[data-do="cancel"][data-id="{job}"]').first).to_be_visible()
        for engine in server.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)
        expect(page.get_by_role("img", name=re.compile("a person who waits")).first).to_be_visible()
        assert client.get(f"/sdcpp/v1/jobs/{job}").json()["status"] == "completed"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of two owners."""
    folder = tmp_path_factory.mktemp("keyed")
    keys = folder / "keys.txt"
    keys.write_text("".join(f"{name} {key}\n" for name, key in KEYS.items()))
    keys.chmod(0o600)
    flags = ("--api-key-file", str(keys), "--queue-size", "2")
    with running_server(folder, *flags, is_ready=False) as server:
        yield server


def log_in(here: Visit, key: str) -> Page:
    page = here.go()
    page.get_by_label(texts.KEY).fill(key)
    page.get_by_role("button", name=texts.LOG_IN).click()
    return page


def test_a_key_is_asked_for_once_and_each_sees_only_what_is_theirs(
    visit: Visiting, keyed: RunningServer
) -> None:
    alices = {"Authorization": f"Bearer {KEYS['alice']}"}
    with keyed.client(headers=alices) as client:
        body = {"prompt": "what alice sees", "steps": 1}
        client.post("/v1/images/generations", json=body).raise_for_status()
    with visit(keyed.url) as here:
        here.expect("401")
        page = log_in(here, "no-key-of-anybody-00")
        expect(page.get_by_role("alert")).to_contain_text("key")
        here.check_access()
        here.screenshot("log-in")
        log_in(here, KEYS["alice"])
        expect(generate_of(page)).to_be_visible()
        here.expect(CUT_OFF)
        page.reload()  # remembered
        expect(generate_of(page)).to_be_visible()
        page.evaluate("location.hash = 'gallery'")
        expect(page.get_by_role("button", name="what alice sees").first).to_be_visible()
    with visit(keyed.url) as here:
        page = log_in(here, KEYS["bob"])
        expect(generate_of(page)).to_be_visible()
        page.evaluate("location.hash = 'gallery'")
        expect(page.locator("#screen-gallery")).to_be_visible()
        page.wait_for_timeout(2000)
        assert "alice" not in page.content()
        page.evaluate("localStorage.setItem('pulid-create', 'what bob typed')")
        here.expect(CUT_OFF)
        page.get_by_role("button", name=texts.LOG_OUT).click()
        expect(page.get_by_label(texts.KEY)).to_be_visible()
        assert page.evaluate("localStorage.getItem('pulid-create')") is None


def test_a_full_queue_says_when_to_come_back(visit: Visiting, keyed: RunningServer) -> None:
    alices = {"Authorization": f"Bearer {KEYS['alice']}"}
    with keyed.client(headers=alices) as client, visit(keyed.url) as here:
        jobs = [client.post("/sdcpp/v1/img_gen", json=LONG).json()["id"] for _ in range(2)]
        page = log_in(here, KEYS["bob"])
        expect(generate_of(page)).to_be_visible()
        leave_person_out(page)
        generate_of(page).click()
        expect(page.get_by_text("The queue is full").first).to_be_visible()
        here.screenshot("queue-full")
        for job in jobs:
            client.post(f"/sdcpp/v1/jobs/{job}/cancel")


def test_without_scripts_a_line_says_so(visit: Visiting, server: RunningServer) -> None:
    with visit(server.url, java_script_enabled=False) as here:
        page = here.go()
        assert "script" in page.locator("body").inner_text().lower()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_screen_can_be_read_by_everybody(
    visit: Visiting, server: RunningServer, scheme: str
) -> None:
    with visit(server.url, color_scheme=scheme, reduced_motion="reduce") as here:
        page = ready(here)
        for name in texts.SCREENS:
            page.evaluate(f"location.hash = '{name}'")
            expect(page.locator(f"#screen-{name}")).to_be_visible()
            page.wait_for_timeout(500)
            here.screenshot(f"{name}-{scheme}")
            here.check_access()
            here.check_width((320, 390, 640, 768))  # 640: as at 200 %
        page.add_style_tag(content=SPACED)
        page.evaluate("location.hash = 'create'")
        here.check_width((640,))
