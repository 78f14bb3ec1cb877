"""A real browser for the tests of the page, and a visitor's view and actions."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, FloatRect, Page, Request, Route, expect, sync_playwright

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "build" / "page"
"""Directory for screenshots of each state, for people to look at."""

AXE = ROOT / ".venv/page/node_modules/axe-core/axe.min.js"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
PATHS = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
]
NOT_TESTED = "THE PAGE WAS NOT TESTED"
INSTALL = "apt-get install chromium (Debian), or install Google Chrome"
FLAGS = [
    *["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
    *["--disable-background-networking", "--disable-component-update"],
]

expect.set_options(timeout=30_000)  # for a busy machine


def installed() -> str | None:
    """The executable of Chromium on this machine."""
    found = [shutil.which(name) for name in NAMES]
    return next(filter(None, [*found, *filter(os.path.exists, PATHS)]), None)


def missing() -> NoReturn:
    """Skip the test, or fail if REQUIRE_BROWSER is set."""
    reason = f"no Chromium on this machine: {INSTALL}"
    if os.environ.get("REQUIRE_BROWSER"):
        pytest.fail(f"Tests of the page are required here, but there is {reason}")
    pytest.skip(f"{NOT_TESTED}: {reason}")


@contextmanager
def running() -> Iterator[Browser]:
    executable = installed()
    if executable is None:
        missing()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """A visitor who opens the page at `url`. `close` fails if the page sent a request to an origin other
    than its own and the reports', or if the browser logged an error other than an answer's status."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(30_000)
        self.page: Page = self.context.new_page()
        self.requests: list[Request] = []
        self._ended = 0
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request))
        for end in ("requestfinished", "requestfailed"):
            self.page.on(end, lambda _: self._end())
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._listen(message.type, message.text))

    def _end(self) -> None:
        self._ended += 1

    def pass_seconds(self, seconds: int) -> None:
        """Advance the installed clock in steps, between which requests end before they time out."""
        for _ in range(0, seconds, 20):
            self.page.clock.run_for(min(seconds, 20) * 1000)
            while self._ended < len(self.requests):
                self.page.wait_for_timeout(20)
            self.page.wait_for_timeout(20)

    def _listen(self, kind: str, text: str) -> None:
        # The browser's own messages for an answer of 4xx or 5xx, or for no answer.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource:"):
            self.complaints.append(text)

    def open(self) -> "Visitor":
        self.page.goto(self.url)
        return self

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector).strip()

    def report(self) -> list[tuple[str, int]]:
        """The words and totals in the table."""
        rows = self.page.locator("#report tbody tr").all()
        cells = [
            [cell.text_content() or "" for cell in row.locator("th, td").all()] for row in rows
        ]
        return [(word, int(times.replace(",", ""))) for word, times in cells]

    def shows(self, report: list[tuple[str, int]]) -> None:
        """Wait until the table has these words and totals."""
        cells = [[word, f"{times:,}"] for word, times in report]
        self.page.wait_for_function(
            """cells => JSON.stringify(cells) === JSON.stringify(
                [...document.querySelectorAll("#report tbody tr")].map(
                    row => [...row.cells].map(cell => cell.textContent)))""",
            arg=cells,
        )

    def bars(self) -> list[FloatRect]:
        boxes = [bar.bounding_box() for bar in self.page.locator(".bar").all()]
        return [box for box in boxes if box]

    def requested(self, method: str, path: str) -> list[Request]:
        """The requests to the API so far."""
        return [
            request
            for request in self.requests
            if request.method == method and request.url == self.url.rstrip("/") + path
        ]

    def hold(self, method: str, path: str = "/") -> "Held":
        """Hold the next such request to the API until it is released."""
        return Held(self.page, method, self.url.rstrip("/") + path)

    def drop(self, content: bytes, *names: str) -> None:
        """Drop files on the page, all with the same content."""
        self.page.evaluate(
            """([bytes, names]) => {
                const transfer = new DataTransfer();
                for (const name of names) {
                    transfer.items.add(new File([new Uint8Array(bytes)], name));
                }
                for (const type of ["dragover", "drop"]) {
                    const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
                    document.body.dispatchEvent(new DragEvent(type, options));
                }
            }""",
            [list(content), names],
        )

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled")

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
        origins = {origin(request.url) for request in self.requests}
        strangers = {
            each for each in origins if each != origin(self.url) and not self._holds_reports(each)
        }
        self.context.close()
        assert not strangers, f"the page sent requests to {strangers}"
        assert not self.complaints, self.complaints

    def _holds_reports(self, stranger: str) -> bool:
        urls = [request.url for request in self.requests if origin(request.url) == stranger]
        return all("/top.json?" in url and "X-Amz-Signature=" in url for url in urls)


class Held:
    """A request that waits on its way to the API."""

    def __init__(self, page: Page, method: str, url: str) -> None:
        self._page = page
        self._method = method
        self._url = url
        self._routes: list[Route] = []
        page.route(url, self._take)

    def _take(self, route: Route) -> None:
        if route.request.method == self._method and not self._routes:
            self._routes.append(route)
        else:
            route.fallback()

    def wait(self) -> None:
        while not self._routes:
            self._page.wait_for_timeout(20)

    def release(self) -> None:
        self.wait()
        self._routes[0].continue_()

    def abort(self) -> None:
        self.wait()
        self._routes[0].abort()

    def answer(self, status: int, body: dict[str, str]) -> None:
        self.wait()
        self._routes[0].fulfill(status=status, json=body)


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
