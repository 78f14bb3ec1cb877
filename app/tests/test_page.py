"""The page: properties of every response to `GET /`. The tests in a browser are in tests/."""

import base64
import contextlib
import gzip
import hashlib
import json
import re
import shutil
import tempfile
import unittest
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock

from wordtally import page

ORIGIN = "https://reports.s3.eu-west-3.amazonaws.com"

MOST_BYTES = {"gzip": 15_000, "identity": 40_000}
"""The document as sent."""

FETCHING = {
    *["action", "archive", "background", "cite", "classid", "code", "codebase", "data", "dynsrc"],
    *["formaction", "href", "icon", "imagesrcset", "longdesc", "lowsrc", "manifest", "ping"],
    *["poster", "profile", "src", "srcdoc", "srcset", "usemap", "xlink:href"],
}
"""Attributes whose value a browser fetches or navigates to."""


def sources() -> list[str]:
    """The names of the source files."""
    return [path.name for path in page._FILES.iterdir() if path.suffix in (".html", ".css", ".js")]


def get(**headers: str) -> dict[str, Any]:
    """The event of `GET /`; `if_none_match` is the header If-None-Match."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"routeKey": "GET /", "headers": names, "isBase64Encoded": False}


def answer(origin: str = ORIGIN, **headers: str) -> dict[str, Any]:
    return page.answer(get(**headers), origin)


def etag(origin: str = ORIGIN) -> str:
    return str(answer(origin)["headers"]["etag"])


def directives(answer: dict[str, Any]) -> dict[str, list[str]]:
    """The policy's directives and their sources."""
    policy = answer["headers"]["content-security-policy"].split(";")
    return {name: sources for name, *sources in map(str.split, policy)}


class Parsed(HTMLParser):
    """The parts of a document that matter to the policy."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.inline: dict[str, list[str]] = {"script": [], "style": []}
        self._within = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        self._within = tag
        if tag in self.inline:
            self.inline[tag].append("")

    def handle_data(self, data: str) -> None:
        if self._within in self.inline:
            self.inline[self._within][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._within = ""


def hashes(sources: list[str]) -> list[str]:
    """Hash sources of CSP level 3."""
    digests = [hashlib.sha256(source.encode()).digest() for source in sources]
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


class Document(unittest.TestCase):
    def setUp(self) -> None:
        self.answer = answer()
        self.html: str = self.answer["body"]
        self.parsed = Parsed(self.html)

    def test_is_html_in_utf_8(self) -> None:
        self.assertEqual(self.answer["statusCode"], 200)
        self.assertEqual(self.answer["headers"]["content-type"], "text/html; charset=utf-8")
        self.assertTrue(self.html.startswith("<!doctype html>\n"))
        self.assertIn(("charset", "utf-8"), self.parsed.attributes)

    def test_contains_each_source_file_as_it_is(self) -> None:
        for kind, pattern in [("script", "*.js"), ("style", "*.css")]:
            files = [path.read_text("utf-8") for path in page._FILES.glob(pattern)]
            found = [source.removeprefix("\n") for source in self.parsed.inline[kind]]
            self.assertEqual(sorted(found), sorted(files))

    def test_no_script_opens_a_comment(self) -> None:
        # After <!-- and <script, </script> does not end a script in a browser.
        for source in self.parsed.inline["script"]:
            self.assertNotIn("<!--", source)

    def test_the_policy_allows_exactly_its_scripts_and_styles(self) -> None:
        policy = directives(self.answer)
        for kind in ("script", "style"):
            self.assertEqual(policy[f"{kind}-src"], hashes(self.parsed.inline[kind]))

    def test_nothing_is_fetched_from_anywhere_else(self) -> None:
        self.assertFalse({"base", "embed", "iframe", "object"} & set(self.parsed.tags))
        for name, value in self.parsed.attributes:
            if name in FETCHING:
                self.assertRegex(value, "^(data:|#)", name)
            self.assertNotEqual(name, "http-equiv")
        for style in self.parsed.inline["style"]:
            self.assertNotRegex(style, r"(?i)@import|image-set|src\(")
            for fetched in re.findall(r"(?i)url\((.*?)\)", style):
                self.assertRegex(fetched, "^[\"']?(data:|#)")

    def test_has_no_inline_event_handlers_and_no_style_attributes(self) -> None:
        # The policy blocks them, so each would cause an error in the browser's console.
        for name, _ in self.parsed.attributes:
            self.assertNotRegex(name, "^(on|style$)")

    def test_is_small(self) -> None:
        self.assertLess(len(self.html.encode()), MOST_BYTES["identity"])
        self.assertLess(len(page._document(ORIGIN).compressed), MOST_BYTES["gzip"])

    def test_is_the_same_each_time(self) -> None:
        for headers in [{}, {"accept_encoding": "gzip"}]:
            page._document.cache_clear()
            first = answer(**headers)
            page._document.cache_clear()
            with mock.patch("time.time", return_value=1_000.0):
                self.assertEqual(answer(**headers), first)


class Headers(unittest.TestCase):
    """The headers of every response."""

    def answers(self) -> Iterator[dict[str, Any]]:
        for headers in [{}, {"accept_encoding": "gzip"}, {"if_none_match": etag()}]:
            with self.subTest(headers=headers):
                yield answer(**headers)

    def test_allow_nothing_but_what_the_page_needs(self) -> None:
        for found in self.answers():
            policy = directives(found)
            hashed = policy.pop("script-src") + policy.pop("style-src")
            self.assertTrue(all(source.startswith("'sha256-") for source in hashed))
            self.assertEqual(
                policy,
                {
                    "default-src": ["'none'"],
                    "connect-src": ["'self'", ORIGIN],
                    "img-src": ["data:"],
                    "base-uri": ["'none'"],
                    "form-action": ["'none'"],
                    "frame-ancestors": ["'none'"],
                    "require-trusted-types-for": ["'script'"],
                },
            )

    def test_the_page_connects_to_the_api_and_the_reports_and_nowhere_else(self) -> None:
        for origin in [ORIGIN, "http://127.0.0.1:36351"]:
            self.assertEqual(directives(answer(origin))["connect-src"], ["'self'", origin])

    def test_make_caches_revalidate_each_time(self) -> None:
        for found in self.answers():
            self.assertEqual(found["headers"]["cache-control"], "no-cache")
            self.assertEqual(found["headers"]["vary"], "accept-encoding")
            self.assertRegex(found["headers"]["etag"], '^W/"[0-9a-f]{32}"$')

    def test_forbid_sniffing_and_referrers(self) -> None:
        for found in self.answers():
            self.assertEqual(found["headers"]["x-content-type-options"], "nosniff")
            self.assertEqual(found["headers"]["referrer-policy"], "no-referrer")

    def test_survive_lambdas_conversion_to_json(self) -> None:
        for found in self.answers():
            self.assertEqual(json.loads(json.dumps(found)), found)
            for name, value in found["headers"].items():
                self.assertEqual(name, name.lower())
                self.assertRegex(value, r"^[ -~]+$")


@contextlib.contextmanager
def edited(name: str, edit: Callable[[bytes], bytes]) -> Iterator[None]:
    """A page with a change in one of its source files."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(page._FILES, folder, dirs_exist_ok=True))
        (copy / name).write_bytes(edit((copy / name).read_bytes()))
        page._document.cache_clear()
        with mock.patch.object(page, "_FILES", copy):
            yield
    page._document.cache_clear()


class Tags(unittest.TestCase):
    """The ETag, and the forms of If-None-Match (RFC 9110, section 13.1.2)."""

    def test_a_different_origin_changes_the_tag(self) -> None:
        self.assertNotEqual(etag(), etag("http://127.0.0.1:36351"))

    def test_a_change_of_any_source_file_changes_the_tag(self) -> None:
        before = etag()
        for name in sources():
            with self.subTest(name), edited(name, lambda source: source + b"\n"):
                self.assertNotEqual(etag(), before)
        self.assertEqual(etag(), before)

    def test_the_line_endings_of_the_source_files_do_not_matter(self) -> None:
        # A browser turns CR LF into LF before it computes the hashes.
        before = answer()
        for name in sources():
            with self.subTest(name), edited(name, lambda source: source.replace(b"\n", b"\r\n")):
                self.assertEqual(answer(), before)

    def test_a_client_that_has_this_page_gets_304_and_no_body(self) -> None:
        tag = etag()
        strong = tag.removeprefix("W/")
        for sent in [
            tag,
            strong,
            f" {tag} ",
            f'"other", {tag}',
            f'{tag},W/"other"',
            f'"a, b",\t{strong}',
            "*",
            " * ",
        ]:
            with self.subTest(if_none_match=sent):
                found = answer(if_none_match=sent, accept_encoding="gzip")
                self.assertEqual((found["statusCode"], found["body"]), (304, ""))
                self.assertNotIn("content-type", found["headers"])
                self.assertNotIn("content-encoding", found["headers"])
                self.assertNotIn("isBase64Encoded", found)

    def test_a_client_that_has_another_page_gets_this_one(self) -> None:
        tag = etag()
        opaque = tag.removeprefix("W/").strip('"')
        for sent in [
            "",
            '""',
            'W/"other"',
            etag("http://127.0.0.1:36351"),
            opaque,
            f'"{opaque}x"',
            f'"x{opaque}"',
            '"*"',
            '"a,*,b"',
            f'"a,{opaque},b"',
        ]:
            with self.subTest(if_none_match=sent):
                self.assertEqual(answer(if_none_match=sent), answer())


class Encodings(unittest.TestCase):
    """The forms of Accept-Encoding (RFC 9110, section 12.5.3)."""

    def test_gzip_is_the_same_page(self) -> None:
        plain, found = answer(), answer(accept_encoding="gzip")
        self.assertEqual(found["statusCode"], 200)
        self.assertTrue(found["isBase64Encoded"])
        octets = base64.b64decode(found["body"], validate=True)
        self.assertEqual(gzip.decompress(octets).decode(), plain["body"])
        self.assertEqual(found["headers"], {**plain["headers"], "content-encoding": "gzip"})

    def test_gzip_is_sent_if_it_is_accepted(self) -> None:
        for sent in [
            "gzip",
            "GZip",
            "gzip, deflate, br, zstd",
            "br,gzip",
            "gzip;q=1",
            "gzip; q=0.001",
            "deflate, gzip ;\tq=1.0, *;q=0.5",
            "*",
            "*;q=0.1",
            "*;q=0, gzip",
        ]:
            with self.subTest(accept_encoding=sent):
                self.assertEqual(answer(accept_encoding=sent), answer(accept_encoding="gzip"))

    def test_plain_html_is_sent_otherwise(self) -> None:
        plain = answer()
        self.assertNotIn("content-encoding", plain["headers"])
        self.assertNotIn("isBase64Encoded", plain)
        for sent in [
            "",
            "identity",
            "br, deflate",
            "gzip;q=0",
            "GZIP; Q=0.000",
            "gzip;\tq=0",
            "gzip ; q = 0",
            "gzip;q=0, *",
            "*;q=0",
            "br, *;q=0.0",
            "gzipped",
        ]:
            with self.subTest(accept_encoding=sent):
                self.assertEqual(answer(accept_encoding=sent), plain)

    def test_an_event_without_headers_gets_plain_html(self) -> None:
        for event in [{}, {"headers": None}]:
            self.assertEqual(page.answer(event, ORIGIN), answer())
