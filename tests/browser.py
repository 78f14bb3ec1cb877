"""A real browser for the tests of the page, and a visitor's view and actions."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    FilePayload,
    FloatRect,
    Request,
    Route,
    expect,
    sync_playwright,
)

ROOT = Path(__file__).parents[1]
AXE = ROOT / ".venv/page/node_modules/axe-core/axe.min.js"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

EXECUTABLES = [
    *["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"],
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
]
NOT_TESTED = "THE PAGE WAS NOT TESTED"
MISSING = "no Chromium on this machine: apt-get install chromium (Debian), or install Google Chrome"

expect.set_options(timeout=30_000)  # for a busy machine


@contextmanager
def running() -> Iterator[Browser]:
    """Chromium. On a machine without it, the test is skipped, or fails if REQUIRE_BROWSER is set."""
    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if executable is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(f"Tests of the page are required here, but there is {MISSING}")
        pytest.skip(f"{NOT_TESTED}: {MISSING}")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=executable) as browser,
    ):
        yield browser


class Visitor:
    """A visitor who opens the page at `url`. `close` fails if the page sent a request to an origin other
    than its own and the reports', or if the browser logged an error other than an answer's status."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url.rstrip("/")
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self._ended: list[Request] = []
        self.page.on("request", lambda request: self.requests.append(request))
        for end in ("requestfinished", "requestfailed"):
            self.page.on(end, lambda request: self._ended.append(request))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._listen)

    def _listen(self, message: ConsoleMessage) -> None:
        # The browser's own messages for an answer of 4xx or 5xx, or for no answer.
        expected = message.text.startswith("Failed to load resource:")
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(message.text)

    def open(self, clock: bool = False) -> "Visitor":
        """Open the page, with a clock that `pass_seconds` advances if `clock` is set."""
        if clock:
            self.page.clock.install()
        self.page.goto(self.url)
        return self

    def pass_seconds(self, seconds: int) -> None:
        """Advance the clock in steps, between which requests end before they time out."""
        for _ in range(0, seconds, 20):
            self.page.clock.run_for(min(seconds, 20) * 1000)
            while len(self._ended) < len(self.requests):
                self.page.wait_for_timeout(20)
            self.page.wait_for_timeout(20)

    def submit(self, text: str) -> None:
        self.page.fill("#text", text)
        self.page.click("#post")

    def enter_key(self, key: str) -> None:
        self.page.fill("#key", key)
        self.page.click("#key-form button")

    def drop(self, content: bytes, *names: str) -> None:
        """Drop files on the page, all with the same content."""
        files: list[FilePayload] = [
            {"name": name, "mimeType": "", "buffer": content} for name in names
        ]
        self.page.locator("body").drop({"files": files})

    def reads(self, selector: str, pattern: str, **options: Any) -> None:
        """Wait until the pattern is found in the text of the element."""
        expect(self.page.locator(selector)).to_have_text(re.compile(pattern), **options)

    def shows(self, report: list[tuple[str, int]]) -> None:
        """Wait until the table has these words and totals."""
        cells = [cell for word, times in report for cell in (word, f"{times:,}")]
        expect(self.page.locator("#report tbody :is(th, td)")).to_have_text(cells)

    def bars(self) -> list[FloatRect]:
        boxes = [bar.bounding_box() for bar in self.page.locator(".bar").all()]
        return [box for box in boxes if box]

    def requested(self, method: str, path: str = "/") -> list[Request]:
        """The requests to the API so far."""
        return [
            request
            for request in self.requests
            if request.method == method and request.url == self.url + path
        ]

    def answer(self, pattern: str, times: int | None = None, **response: Any) -> None:
        """Answer requests to URLs of this pattern in place of the service."""
        self.page.route(pattern, lambda route: route.fulfill(**response), times=times)

    def hold(self, method: str, path: str = "/") -> Callable[[], Route]:
        """Hold the next such request to the API. The returned function waits for that request and
        returns its route, by which the test continues, aborts or answers the request."""
        held: list[Route] = []

        def take(route: Route) -> None:
            if route.request.method == method and not held:
                held.append(route)
            else:
                route.fallback()

        def wait() -> Route:
            while not held:
                self.page.wait_for_timeout(20)
            return held[0]

        self.page.route(self.url + path, take)
        return wait

    def barriers(self) -> list[str]:
        """axe-core's findings at level AA of WCAG 2.2."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("tags => axe.run({ runOnly: tags })", WCAG)
        return [
            f"{violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def close(self) -> None:
        strangers = {
            request.url
            for request in self.requests
            if not request.url.startswith(f"{self.url}/")
            and not ("/top.json?" in request.url and "X-Amz-Signature=" in request.url)
        }
        self.context.close()
        assert not strangers, f"the page sent requests to {strangers}"
        assert not self.complaints, self.complaints
