"""`make demo`: the environment has FILE, URL and API_KEY. Without URL it serves the product itself."""

import contextlib
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress

from local.demo.chart import chart
from local.demo.pieces import pieces_of
from local.demo.posting import Poster, Stopped, top_words
from local.server import key_of_environment, serving

KEYS = (
    "Each piece has an Idempotency-Key that depends only on the text: running the\n"
    "demo again on the same server resumes it and counts nothing twice. The server\n"
    "keeps keys for idempotency_hours (24 by default)."
)
OWN_SERVER = (
    "Without URL= the demo serves the product itself, and the counts are lost at the end.\n"
    "To be able to resume the demo, start `make run` first, and then run\n"
    "`make demo URL=http://127.0.0.1:8080/`."
)


def main() -> None:
    # Replace characters that the terminal's encoding lacks.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    file = Path(os.environ.get("FILE") or "examples/alice.txt")
    url = os.environ.get("URL", "")
    api_key = key_of_environment()
    text = text_of(file)
    pieces = pieces_of(text)
    if not pieces:
        sys.exit(f"{file} contains no words.")
    if url:
        again = "Run the same command again to resume: nothing is counted twice."
    else:
        again = "The counts are lost, as the demo's own server has stopped. Resuming needs URL=."
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
    task = progress.add_task("", total=len(pieces))

    def tell(notice: str) -> None:
        progress.update(task, description=escape(notice or f"Posting {file}"))

    counted = 0
    try:
        print(KEYS if url else OWN_SERVER, flush=True)
        with contextlib.nullcontext(url) if url else own_server(api_key) as address, progress:
            began = time.monotonic()
            poster = Poster(address, api_key, tell)
            for piece in pieces:
                report = poster.post(piece.text, piece.key)
                counted += 1
                progress.advance(task)
            seconds = time.monotonic() - began
            top = top_words(report)
    except (Stopped, KeyboardInterrupt) as reason:
        interrupted = isinstance(reason, KeyboardInterrupt)
        print("\nInterrupted." if interrupted else reason, file=sys.stderr)
        if counted or interrupted:
            print(f"{counted} of {len(pieces)} pieces were counted. {again}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(130 if interrupted else 1)  # without waiting for a request in flight
    print(
        f"Sent {len(pieces):,} pieces with {sum(piece.words for piece in pieces):,} words"
        f" ({len(text):,} characters) in {seconds:.1f} s, {poster.retries:,} retries."
    )
    if url:
        print(
            "Within idempotency_hours, this server counts this text once, however often it is sent."
        )
    print("\nThe most frequent words of every text that this server has counted:\n")
    print(chart(top))


def text_of(file: Path) -> str:
    """Exit with a message if the file is missing, unreadable or not UTF-8."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        wrong = error.object[error.start]
        sys.exit(f"{file} is not UTF-8 text: byte {error.start:,} is 0x{wrong:02x}.")
    except OSError as error:
        sys.exit(f"{file} cannot be read: {error.strerror}.")


def own_server(api_key: str) -> contextlib.AbstractContextManager[str]:
    os.environ["PORT"] = "0"  # any free port, as `make run` may be serving
    return serving(api_key)


if __name__ == "__main__":
    main()
