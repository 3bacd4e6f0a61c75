"""A real Chromium against a real Millstream. Every page is watched: no console errors, nothing asked of other origins.

Chromium is looked for as ``MILLSTREAM_TEST_CHROMIUM``, else on the PATH. Where there is none the tests are skipped and say
so, unless ``MILLSTREAM_REQUIRE_BROWSER=1``: then they fail.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from api.auth.login_links import make_login_link
from tests.support.system import RunningSystem

LAUNCH_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
Scheme = Literal["light", "dark"]
OpenPage = Callable[..., Page]
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives the browser."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for the run."""
    path = os.environ.get("MILLSTREAM_TEST_CHROMIUM") or shutil.which("chromium")
    if path is None:
        reason = "no chromium on this machine: apt-get install chromium"
        if os.environ.get("MILLSTREAM_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(LAUNCH_ARGUMENTS))
        yield launched
        launched.close()


@dataclass
class Watch:
    """What went wrong on a page. ``expected_statuses`` are answers >= 400 that the test provokes."""

    origin: str
    expected_statuses: set[int] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def on(self, page: Page) -> None:
        """Begin to watch ``page``."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        # Chromium writes one line for each answer >= 400, with the status in it.
        if any(f"status of {status} " in message.text for status in self.expected_statuses):
            return
        self.errors.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if (
            parts.scheme in ("http", "https", "ws", "wss")
            and f"{parts.scheme}://{parts.netloc}" != self.origin
        ):
            self.outside.append(request.url)

    def check(self) -> None:
        """Fails the test when something was wrong."""
        assert self.errors == []
        assert self.outside == []


@contextmanager
def logged_in(browser: Browser, system: RunningSystem) -> Iterator[BrowserContext]:
    """A browser context with a session, got through a one-time link as a person gets it."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(make_login_link(system.home, system.url))
        page.wait_for_url(f"{system.url}/insights")
        page.close()
        yield context
    finally:
        context.close()


@pytest.fixture(scope="package")
def session_cookies(browser: Browser, system: RunningSystem) -> dict[str, object]:
    """The state of a browser that has logged in."""
    with logged_in(browser, system) as context:
        return dict(context.storage_state())


@pytest.fixture
def watch(system: RunningSystem) -> Iterator[Watch]:
    """Watches every page of the test; checked at its end."""
    watching = Watch(system.url)
    yield watching
    watching.check()


@pytest.fixture
def open_page(
    browser: Browser, system: RunningSystem, session_cookies: dict[str, object], watch: Watch
) -> Iterator[OpenPage]:
    """``open_page(path, width=1280, scheme="light", scripts=True)``: a logged-in, watched page."""
    contexts: list[BrowserContext] = []

    def opened(
        path: str, *, width: int = 1280, height: int = 900, scheme: Scheme = "light", scripts: bool = True
    ) -> Page:
        context = browser.new_context(
            base_url=system.url,
            storage_state=session_cookies,  # type: ignore[arg-type]
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            java_script_enabled=scripts,
        )
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        watch.on(page)
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
