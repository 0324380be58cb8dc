"""What the buttons of the screen Queue do."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gradio")

import gradio as gr

from pulid_sdcpp.page import texts
from pulid_sdcpp.page.queue_html import queue_html
from pulid_sdcpp.page.queue_screen import _Queue
from pulid_sdcpp.server.access.api_keys import LOCAL
from pulid_sdcpp.server.jobs.jobs import Job

PHOTO = {"people": [{"photos": [f"sha256:{'a' * 64}"]}]}
KEPT = {"people": [{"identity": "0123456789"}]}


def edited(request: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """What is cancelled, and what is said, when a waiting job is to be changed."""
    cancelled: list[str] = []
    said: list[str] = []
    job = Job("job_a", "img_gen", LOCAL, 1.0, 1, {"prompt": "a", **request})

    async def cancel(job_id: str) -> None:
        cancelled.append(job_id)

    monkeypatch.setattr(gr, "Info", said.append)
    monkeypatch.setattr(
        "pulid_sdcpp.page.queue_screen.call_in", lambda request: SimpleNamespace(owner=LOCAL)
    )
    service = SimpleNamespace(job=lambda job_id, owner: job, cancel=cancel)
    parts: Any = SimpleNamespace(fields=["prompt"], fill=lambda body, owner: [body["prompt"]])
    event: Any = gr.EventData(None, {"do": "edit", "id": job.id})
    browser: Any = None
    assert asyncio.run(_Queue(service, parts).pressed(browser, event)) == ["create", "a"]
    return cancelled, said


def test_a_waiting_job_goes_back_to_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    assert edited(KEPT, monkeypatch) == (["job_a"], [])


def test_a_job_whose_photo_would_be_lost_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert edited(PHOTO, monkeypatch) == ([], [texts.EDIT_STAYS])


def test_every_button_says_what_it_is_about() -> None:
    job = Job("job_a", "extract", LOCAL, 1.0, 1, {})
    jobs = SimpleNamespace(running=[job], waiting=[], ended=[])
    queue = SimpleNamespace(is_paused=False)
    assert f'aria-label="{texts.CANCEL}: {texts.KINDS["extract"]}"' in queue_html(jobs, queue)
