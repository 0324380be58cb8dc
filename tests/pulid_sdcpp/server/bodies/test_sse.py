"""Server-sent events, as a client's decoder reads them."""

from __future__ import annotations

import json

import pytest

from pulid_sdcpp.server.bodies.sse import KEEP_ALIVE, sse_event


def test_an_event_is_a_few_lines_and_an_empty_one() -> None:
    assert sse_event("step", {"step": 1}) == b'event: step\ndata: {"step":1}\n\n'
    event = sse_event("step", {}, number=7, retry_ms=2000)
    assert event == b"id: 7\nretry: 2000\nevent: step\ndata: {}\n\n"


@pytest.mark.parametrize("text", ["a\nb", "a\r\n\r\nb", "a\u2028b\u0085c", "ü \ud800 \0", "日本"])
def test_data_is_one_line_of_any_reader(text: str) -> None:
    event = sse_event("note", {"text": text}).decode("ascii")
    assert len(event.splitlines()) == 3
    assert json.loads(event.splitlines()[1].removeprefix("data: ")) == {"text": text}


def test_numbers_that_are_no_json_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        sse_event("step", {"step_time_s": float("nan")})


def test_clients_pass_over_what_keeps_the_connection() -> None:
    streaming = pytest.importorskip("openai._streaming")
    stream = [KEEP_ALIVE, sse_event("note", {"text": "ü"}), KEEP_ALIVE]
    events = [one for one in streaming.SSEDecoder().iter_bytes(iter(stream)) if one.data]
    assert [(one.event, one.json()) for one in events] == [("note", {"text": "ü"})]
