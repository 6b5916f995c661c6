"""A real browser for tests of pages: Debian's Chromium, through Playwright.

Nothing leaves the machine: names do not resolve, and what a page asks for beyond itself is recorded.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Browser, Page, sync_playwright

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")

_ARGUMENTS: Final = (
    "--no-sandbox",  # which root may not use
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have little of it
    "--force-color-profile=srgb",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_PATIENCE_MS: Final = 15_000


@dataclass
class Opened:
    """A page that was opened, with whatever it complained of and asked for.

    ``errors`` are the console's errors and warnings, uncaught exceptions and requests that failed;
    ``requests`` are the addresses asked for, the page's own first.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, page: Page) -> Opened:
        """Listen to a page that has not gone anywhere yet."""
        opened = cls(page)

        def said(message: Any) -> None:
            if message.type in ("error", "warning"):
                opened.errors.append(f"{message.type}: {message.text}")

        page.on("console", said)
        page.on("pageerror", lambda error: opened.errors.append(f"uncaught: {error}"))
        page.on("requestfailed", lambda request: opened.errors.append(f"failed: {request.url}"))
        page.on("request", lambda request: opened.requests.append(request.url))
        return opened


Open = Callable[..., Opened]
"""``open_page(where, width=1280, dark=False)``: a file's path or an address, in a context of its own."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the module's tests.

    Not for the session: while Playwright is started, its event loop runs in this thread, and ``asyncio.run``
    of other modules' tests would be refused.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"needs a browser, one of {', '.join(PROGRAMS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open pages, each as a new visitor; all are closed after the test."""
    contexts = []

    def opening(where: str | Path, width: int = 1280, height: int = 900, dark: bool = False) -> Opened:
        scheme: Literal["dark", "light"] = "dark" if dark else "light"
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        context.set_default_timeout(_PATIENCE_MS)
        opened = Opened.of(context.new_page())
        opened.page.goto(where.resolve().as_uri() if isinstance(where, Path) else where)
        return opened

    yield opening
    for context in contexts:
        context.close()


def unfit(page: Page, *impacts: str) -> list[str]:
    """Return what axe finds of these impacts (serious and critical, if none is named): a line per element."""
    page.evaluate(AXE_FILE_PATH.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for each in found["violations"]
        if each["impact"] in (impacts or ("serious", "critical"))
        for node in each["nodes"]
    ]


def overflow(page: Page) -> float:
    """Return by how many pixels the page is wider than its window."""
    wide: float = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wide
