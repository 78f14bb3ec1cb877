"""`make demo`: post a text file, in pieces that the API takes, and print the report.

FILE, URL and API_KEY are in the environment; without URL it serves the product itself meanwhile.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import requests
from tqdm import tqdm
from wordtally import words
from wordtally.http import MAX_CHARACTERS

from local.server import serving


def pieces(text: str, most: int = MAX_CHARACTERS) -> Iterator[str]:
    """`text` in order, in pieces of at most `most` characters, cut before white space.

    A stretch of more than `most` characters without white space is cut where it must be.
    """
    while len(text) > most:
        end = next((i for i in range(most, 0, -1) if text[i].isspace()), most)
        yield text[:end]
        text = text[end:]
    yield text


def post(url: str, text: str, api_key: str) -> str:
    """The report's URL. Exit with the API's own words if it refuses."""
    headers = {"x-api-key": api_key} if api_key else {}
    try:
        answer = requests.post(url, json={"parameter": text}, headers=headers, timeout=60)
    except requests.RequestException as error:
        sys.exit(f"{url} does not answer ({type(error).__name__}). Is it right, and served?")
    if answer.status_code != 200:
        sys.exit(f"{url} answered {answer.status_code}: {answer.text}")
    return str(answer.json()["url"])


def main() -> None:
    file = Path(os.environ.get("FILE") or "examples/alice.txt")
    url = os.environ.get("URL", "")
    api_key = os.environ.get("API_KEY", "")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"Cannot read {file} as UTF-8 text: {error}")
    if not url:
        os.environ["PORT"] = "0"  # beside whatever `make run` serves
    with contextlib.nullcontext(url) if url else serving(api_key) as address:
        report = ""
        for piece in tqdm(list(pieces(text)), desc=f"Posting {file}", unit="piece"):
            if words.split(piece):
                report = post(address, piece, api_key)
        if not report:
            sys.exit(f"{file} has no word in it.")
        entries = requests.get(report, timeout=60).json()["top10words"]
    for entry in entries:
        print(f"{entry['times']:>8,}  {entry['word']}")


if __name__ == "__main__":
    main()
