"""Draws docs/page.png, the README's first picture: `make picture`."""

import re

import browser as browsers
from browser import Visitor
from conftest import running_product
from playwright.sync_api import expect

with browsers.running() as browser, running_product(PORT="8080") as url:
    visitor = Visitor(browser, url, viewport={"width": 1100, "height": 640}).open()
    visitor.drop((browsers.ROOT / "examples/alice.txt").read_bytes(), "alice.txt")
    expect(visitor.page.locator("#outcome")).to_have_text(re.compile("^Counted"), timeout=120_000)
    visitor.page.wait_for_timeout(1_000)  # wait for the bars' animation
    visitor.page.screenshot(path=browsers.ROOT / "docs/page.png", full_page=True)
    visitor.close()
