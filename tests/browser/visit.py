"""A visit to our page with Chromium, during which nothing may go wrong unseen.

A console error, an uncaught exception, a broken content policy, a request that fails or goes to
another host: each is a fault, and a visit with faults fails at its end.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

__all__ = [
    "BEHIND_THE_BAR",
    "DESKTOP",
    "PHONE",
    "SCREENSHOTS",
    "Visit",
    "browser_running",
    "chromium",
    "visiting",
]

BEHIND_THE_BAR = {"target-size": "fields scroll away below Generate, which stays in sight"}
"""What axe finds on Create where a field is half below the bar."""
DESKTOP: Mapping[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: Mapping[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
SCREENSHOTS = Path(
    os.environ.get("PULID_SCREENSHOTS")
    or Path(__file__).resolve().parents[2] / "build" / "screenshots"
)
"""Where the screenshots of a run are kept, to be looked at."""

_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
_INSIDE = {"data", "blob", "about"}
_TIMEOUT_MS = 120_000  # of a computer that does something else, too
expect.set_options(timeout=_TIMEOUT_MS)
_ARGUMENTS = (
    "--no-sandbox",  # as root it has none
    "--disable-dev-shm-usage",
    # No name is looked up: what wants another host fails, also where there is a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--disable-background-networking",
    "--disable-component-update",
)


def chromium() -> str:
    """The browser's program; "" where there is none. PULID_CHROMIUM names another."""
    named = os.environ.get("PULID_CHROMIUM", "")
    return named or next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if
         (path := shutil.which(name))), ""
    )  # fmt: skip


@contextmanager
def browser_running() -> Iterator[Browser]:
    """A browser for the time of a `with`.

    While it runs, `asyncio.run` fails in this thread, as Playwright's own loop is running there.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=list(_ARGUMENTS), chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """One page in a browser window of its own, with its own cookies.

    Attributes:
        base: "http://127.0.0.1:PORT", to which requests may go.
        faults: What went wrong so far.
    """

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)

    def go(self, path: str = "/") -> Page:
        """Open a page of the server."""
        self.page.goto(f"{self.base}{path}")
        return self.page

    def expect(self, pattern: str) -> None:
        """Faults that this regular expression finds are what a test wants, as of a wrong key."""
        self._expected.append(pattern)

    def screenshot(self, name: str, *, whole: bool = False) -> Path:
        """Keep what is seen, or the whole page, as NAME.png in `SCREENSHOTS`."""
        path = SCREENSHOTS / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path, full_page=whole, animations="disabled")
        return path

    def check_access(self, known: Mapping[str, str] | None = None, *, within: str = "") -> None:
        """Assert that axe finds no violation of WCAG 2.2 AA.

        Args:
            known: Rules that are broken, and the reason why that stays.
            within: A selector of the part that is looked at; "" for the whole page.
        """
        options = {
            "runOnly": {"type": "tag", "values": list(_TAGS)},
            "resultTypes": ["violations"],
        }
        results = Axe().run(self.page, within or None, options)
        found = [
            f"{one['id']} ({one['impact']}), {one['help']}: "
            + "; ".join(f"{node['target']} {node['html'][:200]}" for node in one["nodes"][:5])
            for one in results.response["violations"]
            if one["id"] not in (known or {})
        ]
        assert not found, "\n".join(found)

    def check_width(self, widths: Sequence[int] = (320, 390, 768)) -> None:
        """Assert that nothing is wider than the window, so that none scrolls sideways."""
        size = self.page.viewport_size or DESKTOP["viewport"]
        for width in widths:
            self.page.set_viewport_size({"width": width, "height": size["height"]})
            needed = self.page.evaluate("document.documentElement.scrollWidth")
            assert needed <= width, f"{needed} pixels wide in a window of {width}"
        self.page.set_viewport_size({"width": size["width"], "height": size["height"]})

    def check(self) -> None:
        """Assert that nothing has gone wrong so far."""
        faults = [
            fault
            for fault in self.faults
            if not any(re.search(pattern, fault) for pattern in self._expected)
        ]
        assert not faults, "\n".join(faults)

    def _watch(self, context: BrowserContext) -> None:
        context.on("request", lambda request: self._sent(request.url))
        context.on(
            "console",
            lambda said: self._fault("console", said.text) if said.type == "error" else None,
        )
        context.on("weberror", lambda thrown: self._fault("thrown", str(thrown.error)))
        self.page.on("websocket", lambda socket: self._sent(socket.url))
        self.page.on("crash", lambda _: self._fault("crash", "the page has crashed"))

    def _sent(self, url: str) -> None:
        parts = urlsplit(url)
        own = urlsplit(self.base).netloc
        if parts.scheme not in _INSIDE and parts.netloc != own:
            self._fault("foreign request", url)

    def _fault(self, kind: str, text: str) -> None:
        self.faults.append(f"{kind}: {text}")


@contextmanager
def visiting(browser: Browser, base: str, **options: Any) -> Iterator[Visit]:
    """A visit to the server at `base`; what went wrong in it fails at its end.

    Args:
        base: "http://127.0.0.1:PORT".
        options: Of Playwright's `new_context`: `**PHONE`, color_scheme="dark", ...
    """
    given = {**DESKTOP, "accept_downloads": True, "locale": "en-US", **options}
    context = browser.new_context(**given)
    try:
        context.set_default_timeout(_TIMEOUT_MS)
        visit = Visit(context.new_page(), base)
        visit._watch(context)
        yield visit
        visit.check()
    finally:
        context.close()
