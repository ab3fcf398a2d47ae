"""A real browser for the pages: headless Chromium, which must find no error in them and fetch nothing for them."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

REQUIRED = "COARSECON_REQUIRE_BROWSER"
"""Set in CI: tests in the browser then fail where it cannot be started, instead of being skipped."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip


def unavailable(reason: str) -> None:
    """Skip the test, or fail it where a browser is required."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason}, and {REQUIRED} is set")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, one process for all tests of a worker."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("playwright is not installed: pip install 'coarsecon[dev]'")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        unavailable(f"no Chromium on the path (looked for {', '.join(NAMES)})")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def watched(browser: Any, place: Path | str, **options: Any) -> Iterator[Any]:
    """The file as a page in the browser, loaded; or the page of a server, `http://.../`.

    At the end of the block the test fails if there was a message of error on the console, an exception nobody caught,
    or a request for anything but the page itself, what it holds (`data:`, `blob:`), and what its server has.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True, **options)
    page = context.new_page()
    page.set_default_timeout(5000)
    address, faults = place if isinstance(place, str) else place.resolve().as_uri(), []
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(f"exception: {error}"))
    context.on("request", lambda request: outside(request.url, address) and faults.append(f"request: {request.url}"))
    try:
        page.goto(address)
        yield page
        page.wait_for_timeout(50)  # what is still under way is told
        assert faults == [], f"{place} in the browser: {faults}"
    finally:
        context.close()


def outside(url: str, address: str) -> bool:
    is_within = url.startswith(address) if address.endswith("/") else url.partition("#")[0] == address
    return not is_within and not url.startswith(("data:", "blob:"))


@pytest.fixture
def open_page(chromium: Any) -> Callable[..., AbstractContextManager[Any]]:
    """`with open_page(place) as page:` drives a page and fails on any error or outside request; see `watched`."""
    return lambda place, **options: watched(chromium, place, **options)
