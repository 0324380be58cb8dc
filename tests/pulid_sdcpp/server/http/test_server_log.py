"""The server's log on stderr: lines, and no texts of exceptions."""

from __future__ import annotations

import json
import logging

import pytest

from pulid_sdcpp.server.http.server_log import server_log

LOGGER = logging.getLogger("pulid_sdcpp.server.anything")


def fail(said: str = "a prompt of somebody") -> None:
    try:
        raise KeyError(said)
    except KeyError:
        LOGGER.exception("job %s\x1b[31m failed\nthere", 7)


def test_lines_without_what_exceptions_say(capsys: pytest.CaptureFixture[str]) -> None:
    with server_log():
        fail()
        logging.getLogger("uvicorn.error").error("from elsewhere")
        logging.getLogger("pulid_sdcpp.other").info("too much")
        logging.getLogger("pulid_sdcpp.engine").warning("of the engine")
    LOGGER.warning("after it")
    said = capsys.readouterr().err
    first = said.splitlines()[0]
    assert first.endswith(" error: job 7\\x1b[31m failed\\nthere")
    assert "in fail" in said
    assert "\nKeyError\n" in said
    assert "prompt of" not in said
    assert "from elsewhere" in said
    assert "of the engine" in said
    assert "too much" not in said
    assert "after it" not in said


def test_lines_in_json_with_texts(capsys: pytest.CaptureFixture[str]) -> None:
    with server_log(as_json=True, with_texts=True):
        LOGGER.info("hello")
        fail()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["level"] for line in lines] == ["info", "error"]
    assert lines[0]["message"] == "hello"
    assert "a prompt of somebody" in lines[1]["traceback"]


def test_everything_is_as_before_afterwards() -> None:
    logger = logging.getLogger("pulid_sdcpp")
    before = logger.handlers[:], logger.level, logger.propagate
    with server_log():
        assert logger.handlers != before[0]
    assert (logger.handlers[:], logger.level, logger.propagate) == before
