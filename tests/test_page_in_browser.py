"""The page in a real browser, served by `make run`. test_deployment.py opens the deployed page."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import browser as browsers
import pytest
import requests
from browser import Visitor
from conftest import running_product
from description import EXAMPLES, Example
from playwright.sync_api import Browser, Dialog, Route, expect
from wordtally.domain import ranking, words
from wordtally.ways_in import http

pytestmark = pytest.mark.slow

BOOK = (browsers.ROOT / "examples/alice.txt").read_text(encoding="utf-8")
KEY = "a-key-of-the-tests"

Open = Callable[..., Visitor]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.running() as running:
        yield running


@pytest.fixture(scope="module")
def product(browser: Browser) -> Iterator[str]:
    """A shared server that has counted a text, and the texts of the other tests."""
    with running_product() as url:
        post(url, "a")
        yield url


@pytest.fixture
def fresh(browser: Browser) -> Iterator[str]:
    """A new server, which has not counted anything yet."""
    with running_product() as url:
        yield url


@pytest.fixture(scope="module")
def guarded(browser: Browser) -> Iterator[str]:
    with running_product(API_KEY=KEY) as url:
        post(url, "a", {"x-api-key": KEY})
        yield url


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Opens the page in a new browser profile. The test fails on errors that the visitor sees."""
    visitors = []

    def open_(url: str, **options: Any) -> Visitor:
        visitors.append(Visitor(browser, url, **options))
        return visitors[-1]

    yield open_
    for visitor in visitors:
        visitor.close()


def post(url: str, text: str, headers: dict[str, str] | None = None) -> None:
    answer = requests.post(url, json={"parameter": text}, headers=headers, timeout=30)
    assert answer.status_code == 200


def idempotency_keys(here: Visitor) -> set[str]:
    return {request.headers["idempotency-key"] for request in here.requested("POST")}


class TestTheReport:
    def test_a_first_text_becomes_bars(self, fresh: str, visit: Open) -> None:
        permissions = ["clipboard-read", "clipboard-write"]
        here = visit(fresh, permissions=permissions, reduced_motion="reduce").open()
        page = here.page
        expect(page.locator("#report-missing")).to_be_visible()
        here.submit("the cat and the dog and the bird")
        here.reads("#outcome", r"^Counted: 32 characters \(1 piece\) in \d+\.\d s\.$")
        here.shows([("the", 3), ("and", 2), ("bird", 1), ("cat", 1), ("dog", 1)])
        expect(page.locator("#report-missing")).to_be_hidden()
        assert page.input_value("#text") == ""

        bars = here.bars()
        assert len({bar["x"] for bar in bars}) == 1  # bars share a baseline
        shares = [round(bar["width"] / bars[0]["width"], 1) for bar in bars]
        assert shares == [1, 0.7, 0.3, 0.3, 0.3]

        link = page.get_attribute("#json", "href") or ""
        assert requests.get(link, timeout=30).json()["top10words"][0] == {"word": "the", "times": 3}
        page.click("#copy")
        here.reads("#copied", r"^Copied\.$")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == page.inner_text("#curl")
        assert fresh in copied
        assert "x-api-key" not in copied

    def test_it_refreshes_while_it_is_visible(self, fresh: str, visit: Open) -> None:
        post(fresh, "one one")
        here = visit(fresh).open(clock=True)
        expect(here.page.locator("#report tbody tr")).to_have_count(1)
        renewed = here.page.inner_text("#renewed")

        post(fresh, "two")
        here.pass_seconds(11)
        expect(here.page.locator("#report tbody tr")).to_have_count(2)
        assert here.page.inner_text("#renewed") != renewed

        set_visibility(here, hidden=True)
        post(fresh, "three")
        before = len(here.requested("GET", "/report"))
        here.pass_seconds(600)
        assert len(here.requested("GET", "/report")) == before
        set_visibility(here, hidden=False)
        expect(here.page.locator("#report tbody tr")).to_have_count(3)

    def test_it_refreshes_less_often_after_failures(self, product: str, visit: Open) -> None:
        here = visit(product).open(clock=True)
        expect(here.page.locator("#report")).to_be_visible()
        here.page.route("**/report", lambda route: route.abort())
        requested = []
        for _ in range(20):
            here.pass_seconds(60)
            here.reads("#report-trouble", r"^The connection to the service was lost\.$")
            requested.append(len(here.requested("GET", "/report")))
        # Twice as long each time, up to five minutes.
        assert requested[-1] <= 9
        assert requested[-1] - requested[-6] == 1
        here.page.unroute("**/report")
        here.pass_seconds(320)
        here.reads("#report-trouble", "^$")

    def test_a_late_answer_that_there_is_no_report_does_not_hide_the_bars(
        self, fresh: str, visit: Open
    ) -> None:
        here = visit(fresh)
        first = here.hold("GET", "/report")
        here.open()
        here.submit("early")
        here.shows([("early", 1)])
        first().fulfill(status=404, json={"error": "", "code": "no_report"})
        here.page.wait_for_timeout(200)
        expect(here.page.locator("#report-missing")).to_be_hidden()
        expect(here.page.locator("#report")).to_be_visible()

    @pytest.mark.parametrize(
        ("entries", "sentence"),
        [
            ([], "No text has been counted yet."),
            ([None], "The report could not be opened."),
            ([{"word": "a", "times": "x"}], "The report could not be opened."),
            ([{"word": 1, "times": 1}], "The report could not be opened."),
        ],
        ids=["empty", "null", "times", "word"],
    )
    def test_a_malformed_report_is_reported_and_requested_again(
        self, entries: list[Any], sentence: str, product: str, visit: Open
    ) -> None:
        here = visit(product)
        replace_report(here, entries)
        here.open(clock=True)
        expect(here.page.get_by_text(sentence)).to_be_visible()
        expect(here.page.locator("#report")).to_be_hidden()
        here.pass_seconds(40)
        assert len(here.requested("GET", "/report")) > 1

    def test_a_deleted_report_is_shown_as_missing(self, product: str, visit: Open) -> None:
        here = visit(product).open(clock=True)
        expect(here.page.locator("#report")).to_be_visible()
        here.answer("**/report", status=404, json={"error": "", "code": "no_report"})
        here.pass_seconds(11)
        expect(here.page.locator("#report-missing")).to_be_visible()
        expect(here.page.locator("#report")).to_be_hidden()

    def test_hostile_words_are_shown_as_text(self, product: str, visit: Open) -> None:
        hostile = [
            ("<img src=x onerror=alert(1)>", 5),
            ("\u202eevil\u2066", 4),
            ("مرحبا", 3),
            ("w" * 1024, 2),
            ("</script><script>alert(1)</script>", 1),
        ]
        here = visit(product)
        replace_report(here, [{"word": word, "times": times} for word, times in hostile])
        here.open()
        here.shows(hostile)
        assert here.page.locator("img").count() == 0
        names = here.page.locator("#report tbody th div")
        assert names.nth(2).evaluate("e => getComputedStyle(e).direction") == "rtl"
        assert names.nth(1).evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"
        assert names.nth(3).evaluate("e => e.scrollWidth > e.clientWidth")
        assert names.nth(3).get_attribute("title") == "w" * 1024
        # All bars start at the same position, and all have the same height.
        assert len({(bar["x"], bar["height"]) for bar in here.bars()}) == 1


def replace_report(here: Visitor, entries: list[Any]) -> None:
    """Answer requests for the published report with these entries."""
    headers = {"access-control-allow-origin": "*"}
    here.answer("**/top.json?*", json={"top10words": entries}, headers=headers)


def set_visibility(here: Visitor, hidden: bool) -> None:
    here.page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


class TestPosting:
    def test_a_dropped_book_survives_a_lost_connection(self, fresh: str, visit: Open) -> None:
        here = visit(fresh).open()
        page = here.page
        here.drop(BOOK.encode(), "alice.txt")
        here.reads("#outcome", "^Sending: [3-9] of 15")
        here.context.set_offline(True)
        here.reads("#trouble", r"^The connection to the service was lost\. Trying again…$")
        here.context.set_offline(False)
        here.reads("#outcome", "^Sending: ([7-9]|1[0-4]) of 15")

        page.click("#pause")
        here.reads("#pause", "Resume")
        here.reads("#outcome", "^Paused: ")
        page.wait_for_timeout(1_500)  # the piece in flight
        sent = len(here.requested("POST"))
        page.wait_for_timeout(1_000)
        assert len(here.requested("POST")) == sent
        page.click("#pause")

        here.reads(
            "#outcome",
            r"^Counted: 148,476 characters \(15 pieces\) in [\d.]+ s, after \d+ retr",
            timeout=120_000,
        )
        here.shows(list(ranking.top(Counter(words.split(BOOK)).items())))
        assert page.locator("#posting").is_hidden()
        assert len(idempotency_keys(here)) == 15

    def test_a_text_whose_answer_is_lost_is_counted_once(self, fresh: str, visit: Open) -> None:
        here = visit(fresh).open()

        def lose(route: Route) -> None:
            route.fetch()  # the text is counted
            route.abort()

        here.page.route(fresh, lose, times=2)
        here.submit("once once")
        here.reads("#outcome", "after 2 retries")
        here.shows([("once", 2)])
        assert len(idempotency_keys(here)) == 1

    def test_the_same_text_again_is_another_text(self, fresh: str, visit: Open) -> None:
        here = visit(fresh).open()
        for times in (1, 2):
            here.submit("again")
            here.shows([("again", times)])

    @pytest.mark.parametrize(
        ("status", "retry_after", "seconds", "reason"),
        [
            (429, "45", 45, r"The service is receiving too many requests\."),
            (503, "1e9", 60, r"The service took too long to respond\."),
        ],
    )
    def test_it_waits_as_long_as_the_service_requests_but_at_most_a_minute(
        self, status: int, retry_after: str, seconds: int, reason: str, product: str, visit: Open
    ) -> None:
        here = visit(product).open(clock=True)
        headers = {"retry-after": retry_after}
        here.answer(product, times=1, status=status, json={}, headers=headers)
        here.submit("patience")
        here.reads("#trouble", f"^{reason} Trying again…$")
        here.pass_seconds(20)
        assert len(here.requested("POST")) == 1
        here.pass_seconds(seconds - 10)
        here.reads("#outcome", "after 1 retry")

    @pytest.mark.parametrize("by", ["the button", "a restored connection"])
    def test_it_gives_up_until_it_is_resumed(self, by: str, product: str, visit: Open) -> None:
        here = visit(product).open(clock=True)
        here.page.route(product, lambda route: route.abort())
        here.submit("later")
        here.pass_seconds(400)
        here.reads("#pause", "Resume")
        here.reads("#trouble", r"^The connection to the service was lost\.$")
        assert len(here.requested("POST")) == 8
        here.page.unroute(product)
        if by == "the button":
            here.page.click("#pause")
        else:
            here.context.set_offline(True)
            here.context.set_offline(False)
        here.reads("#outcome", "Counted: 5 characters")

    def test_a_piece_that_is_refused_does_not_stop_the_others(
        self, fresh: str, visit: Open
    ) -> None:
        here = visit(fresh).open()
        pieces = ["fine " * 2_000, "!!! " * 2_500, "x" * 2_000 + " " * 8_000, "good " * 2_000]
        here.drop("".join(pieces).encode(), "mixed.txt")
        here.reads(
            "#outcome",
            r"^Counted 2 of 4 pieces in [\d.]+ s\. "
            r"Not counted: 1 piece\. There are no words in this text\. "
            r"Not counted: 1 piece\. This text contains a word longer than 1,024 bytes\.",
        )
        here.shows([("fine", 2000), ("good", 2000)])

    def test_only_one_text_is_sent_at_a_time(self, product: str, visit: Open) -> None:
        here = visit(product).open()
        here.page.evaluate("for (const text of ['one', 'two']) sendFile([new File([text], text)])")
        here.reads("#outcome", "Counted: 3 characters")
        here.page.wait_for_timeout(300)
        assert len(here.requested("POST")) == 1

    def test_text_that_is_typed_in_the_meantime_stays(self, product: str, visit: Open) -> None:
        here = visit(product).open()
        held = here.hold("POST")
        here.submit("first")
        here.page.fill("#text", "second")
        held().continue_()
        here.reads("#outcome", "Counted: 5 characters")
        assert here.page.input_value("#text") == "second"

    @pytest.mark.parametrize("button", ["#pause", "#stop"])
    def test_a_piece_in_flight_fails_after_pause_or_stop(
        self, button: str, product: str, visit: Open
    ) -> None:
        here = visit(product).open()
        held = here.hold("POST")
        here.submit("lost")
        piece = held()
        here.page.click(button)
        if button == "#stop":
            here.reads("#outcome", r"It may have been counted\.")
        piece.abort()
        here.page.wait_for_timeout(1_500)
        assert here.page.inner_text("#trouble") == ""
        assert len(here.requested("POST")) == 1

    def test_a_late_answer_does_not_hide_a_message_about_another_text(
        self, product: str, visit: Open
    ) -> None:
        here = visit(product).open()
        held = here.hold("POST")
        here.submit("late")
        piece = held()
        here.page.click("#stop")
        here.drop(b"\xff", "no.txt")
        here.reads("#trouble", "not UTF-8")
        piece.continue_()
        here.reads("#outcome", "Counted: 4 characters")
        assert "not UTF-8" in here.page.inner_text("#trouble")

    def test_leaving_while_a_text_is_sent_asks_for_confirmation(
        self, product: str, visit: Open
    ) -> None:
        here = visit(product).open()
        dialogs = []

        def leave(dialog: Dialog) -> None:
            dialogs.append(dialog.type)
            dialog.accept()

        here.page.on("dialog", leave)
        here.page.click("h1")  # browsers ask only on pages that the user has interacted with
        here.drop(BOOK.encode(), "alice.txt")
        here.reads("#outcome", "^Sending: [1-9]")
        here.open()
        assert dialogs == ["beforeunload"]

    @pytest.mark.parametrize(
        ("content", "names", "sentence"),
        [
            ("naïve".encode("latin-1"), ["a.txt"], "This file is not UTF-8 text"),
            (b"\x1f\x8b\x08\x00\x00", ["a.gz"], "This file is not UTF-8 text"),
            (b"PK\x03\x04\x00\x00", ["a.docx"], "This file is not text"),
            (b"", ["empty.txt"], "There is nothing to count"),
            (b" \n", ["blank.txt"], "There is nothing to count"),
            (b"a", ["one.txt", "two.txt"], "One file at a time"),
        ],
    )
    def test_a_file_that_is_not_text_is_refused_before_anything_is_sent(
        self, content: bytes, names: list[str], sentence: str, product: str, visit: Open
    ) -> None:
        here = visit(product).open()
        here.drop(content, *names)
        here.reads("#trouble", sentence)
        assert here.requested("POST") == []

    def test_a_chosen_file_loses_its_byte_order_mark(self, fresh: str, visit: Open) -> None:
        here = visit(fresh).open()
        here.page.set_input_files(
            "#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"\xef\xbb\xbfword word"}
        )
        here.shows([("word", 2)])


TEXTS = {
    "book": BOOK,
    "emoji": "😀 " * 9_000,
    "one more": "word " * 2_000 + "x",
    "exact": "a" * 9_999 + " " + "b" * 10_000,
    "Chinese": "你好，世界。" * 4_000,
    "Thai": "ภาษาไทย" * 3_000,  # one word of 21,000 characters, which is refused anyway
    "NBSP": "\u00a0".join(["naïve"] * 4_000),
    "BOM": "co\ufeffoperate " * 1_500,
    "blank": " " * 25_000,
    "empty": "",
}


class TestPieces:
    @pytest.mark.parametrize("name", TEXTS)
    def test_they_contain_the_words_of_the_whole_text(
        self, name: str, product: str, visit: Open
    ) -> None:
        text = TEXTS[name]
        pieces = visit(product).open().page.evaluate("text => cut(text)", text)
        assert all(len(piece) <= http.MAX_CHARACTERS for piece in pieces)
        assert "".join("".join(pieces).split()) == "".join(text.split())
        assert len(pieces) <= len(text) // 9_900 + 1
        if name != "Thai":
            assert [word for piece in pieces for word in words.split(piece)] == words.split(text)


class TestTheKey:
    def test_the_page_asks_for_it_and_keeps_it_for_the_tab(self, guarded: str, visit: Open) -> None:
        here = visit(guarded).open()
        page = here.page
        expect(page.locator("#key-form")).to_be_visible()
        expect(page.locator("#key")).to_be_focused()
        page.keyboard.type("a-wrong-key-of-24-characters")
        page.keyboard.press("Enter")
        here.reads("#key-trouble", r"^This key was refused\. Enter another one\.$")
        here.enter_key(KEY)
        expect(page.locator("#report tbody tr").first).to_be_visible()
        expect(page.locator("#key-form")).to_be_hidden()
        assert '-H "x-api-key: $API_KEY"' in page.inner_text("#curl")
        assert KEY not in page.content()

        page.reload()
        expect(page.locator("#report tbody tr").first).to_be_visible()
        assert here.requested("GET", "/report")[-1].headers["x-api-key"] == KEY
        other = here.context.new_page()
        other.goto(guarded)
        expect(other.locator("#key-form")).to_be_visible()

    def test_a_key_that_no_header_can_carry_is_refused(self, guarded: str, visit: Open) -> None:
        here = visit(guarded).open()
        here.enter_key("ключ")
        here.reads("#key-trouble", "This key was refused")
        here.page.reload()
        here.enter_key(KEY)
        expect(here.page.locator("#report tbody tr").first).to_be_visible()

    def test_an_older_request_does_not_make_the_page_ask_for_it_again(
        self, guarded: str, visit: Open
    ) -> None:
        here = visit(guarded).open(clock=True)
        expect(here.page.locator("#key-form")).to_be_visible()
        held = here.hold("GET", "/report")
        here.page.evaluate("window.dispatchEvent(new Event('online'))")
        older = held()
        here.enter_key(KEY)
        older.fulfill(status=401, json={"message": "Unauthorized"})
        expect(here.page.locator("#report tbody tr").first).to_be_visible()
        expect(here.page.locator("#key-form")).to_be_hidden()

    def test_asking_for_it_interrupts_nobody_who_is_typing(self, guarded: str, visit: Open) -> None:
        here = visit(guarded)
        held = here.hold("GET", "/report")
        here.open()
        here.page.click("#text")
        here.page.keyboard.type("my private ")
        held().continue_()
        expect(here.page.locator("#key-form")).to_be_visible()
        here.page.keyboard.type("letter")
        assert here.page.input_value("#text") == "my private letter"
        assert here.page.input_value("#key") == ""

    def test_a_posted_text_waits_for_the_key(self, guarded: str, visit: Open) -> None:
        here = visit(guarded).open()
        here.submit("keyed")
        here.reads("#pause", "Resume")
        here.enter_key(KEY)
        here.reads("#outcome", "Counted: 5 characters")


ANSWERS = [example for example in EXAMPLES if example.status >= 400]


class TestSentences:
    @pytest.mark.parametrize("example", ANSWERS, ids=lambda example: example.name)
    def test_each_error_of_the_contract_is_shown_as_a_sentence(
        self, example: Example, product: str, visit: Open
    ) -> None:
        here = visit(product).open()
        here.answer(product, status=example.status, json=example.answer)
        here.submit("a")
        shown = here.page.locator("#trouble:not(:empty), #outcome:has-text('Not counted.')")
        expect(shown.first).to_be_visible()
        sentences = shown.first.inner_text()
        assert str(example.status) not in sentences
        assert re.search(r"\w.{10,}[.…]", sentences)
        if example.answer.get("code") == "internal_error":
            assert example.answer["request_id"] in sentences


class TestEverybody:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1200, 320])
    def test_the_page_is_accessible(
        self, scheme: str, width: int, product: str, guarded: str, visit: Open
    ) -> None:
        viewport = {"width": width, "height": 800}
        options: dict[str, Any] = {"color_scheme": scheme, "viewport": viewport}
        keyed = visit(guarded, **options).open()
        expect(keyed.page.locator("#key-form")).to_be_visible()
        assert keyed.barriers() == []

        here = visit(product, **options).open()
        post(product, "мир 你好 naïve " + "w" * 200)
        here.page.set_input_files("#file", browsers.ROOT / "examples/alice.txt")
        expect(here.page.locator("#report")).to_be_visible()
        here.reads("#outcome", "^Sending: [1-9]")
        assert here.barriers() == []
        here.page.click("#pause")
        here.reads("#pause", "Resume")
        assert here.barriers() == []
        here.page.click("#stop")
        here.drop(b"\xff", "no.txt")
        here.reads("#trouble", "not UTF-8")
        assert here.barriers() == []
        assert here.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def test_the_keyboard_is_enough(self, fresh: str, visit: Open) -> None:
        here = visit(fresh).open()
        page = here.page

        def tab_to(selector: str) -> None:
            page.keyboard.press("Tab")
            expect(page.locator(selector)).to_be_focused()

        tab_to("#text")
        page.keyboard.type("by keyboard")
        tab_to("#post")
        page.keyboard.press("Enter")
        expect(page.locator("#report tbody tr")).to_have_count(2)
        page.focus("#post")
        tab_to("#file")
        outline = page.locator("label.button").evaluate("e => getComputedStyle(e).outlineStyle")
        assert outline == "solid"
        # A key press would now open the browser's file dialog, so the test sets the file directly.
        page.set_input_files("#file", browsers.ROOT / "examples/alice.txt")
        here.reads("#outcome", "^Sending: [1-9]")
        expect(page.locator("#posting")).to_be_focused()  # the button is now disabled
        assert page.get_attribute("#outcome", "aria-live") == "off"  # pieces are not announced
        tab_to("#pause")
        page.keyboard.press("Enter")
        here.reads("#pause", "Resume")
        tab_to("#stop")
        page.keyboard.press("Enter")
        here.reads("#outcome", r"Counted \d+ of 15 pieces .*Stopped: \d+ pieces not counted\.")
        expect(page.locator("#posting")).to_be_hidden()
        expect(page.locator("#text")).to_be_focused()
        expect(page.locator("#post")).to_be_enabled()


ATTEMPTS = {
    "script": "const s = document.createElement('script'); s.text = 'window.ran = 1';"
    " document.body.append(s)",
    "script by DOM": "const s = document.createElement('script'); s.append('window.ran = 1');"
    " document.body.append(s)",
    "markup": "document.body.innerHTML = '<img src=x onerror=\"window.ran = 1\">'",
    "eval": "eval('window.ran = 1')",
    "other origin": "fetch('https://example.com/').then(() => (window.ran = 1))",
    "image": "const i = new Image(); i.onload = () => (window.ran = 1); i.src = '/report'",
    "style": "const b = document.createElement('div'); b.setAttribute('style', 'width: 77px');"
    " document.body.append(b); if (b.style.width === '77px') window.ran = 1",
}


class TestThePolicy:
    """If hostile input got into the page, the policy would stop it from running code and sending data."""

    @pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
    def test_it_is_blocked(self, attempt: str, product: str, browser: Browser) -> None:
        here = Visitor(browser, product).open()
        # Run the attempt in a timer: the policy restricts scripts more than the debugger's own code.
        here.page.evaluate(
            f"setTimeout(() => {{ try {{ {attempt} }} finally {{ window.attempted = 1 }} }})"
        )
        here.page.wait_for_function("window.attempted")
        here.page.wait_for_timeout(300)
        assert here.page.evaluate("window.ran") is None
        here.context.close()
