"""What the tests with a browser share. Without Chromium they are skipped; PULID_REQUIRE_BROWSER=1,
as in .ci/run, makes that a failure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from .visit import Visit, browser_running, chromium, visiting

REQUIRE_BROWSER = os.environ.get("PULID_REQUIRE_BROWSER") == "1"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.browser)
        if not chromium() and not REQUIRE_BROWSER:
            item.add_marker(pytest.mark.skip(reason="no Chromium"))


# Of a module, not of the session: the next module's tests may use asyncio.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browser_running() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Callable[..., AbstractContextManager[Visit]]:
    """`with visit(server.url, **PHONE) as here:` opens a window of its own."""
    return partial(visiting, browser)
