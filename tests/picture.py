"""Draws docs/page.png, the README's first picture: `make picture`."""

import browser as browsers
from browser import Visitor
from conftest import running_product

with browsers.running() as browser, running_product(PORT="8080") as url:
    visitor = Visitor(browser, url, viewport={"width": 1100, "height": 640}).open()
    visitor.drop((browsers.ROOT / "examples/alice.txt").read_bytes(), "alice.txt")
    visitor.reads("#outcome", "^Counted", timeout=120_000)
    picture = browsers.ROOT / "docs/page.png"
    visitor.page.screenshot(path=picture, full_page=True, animations="disabled")
    visitor.close()
