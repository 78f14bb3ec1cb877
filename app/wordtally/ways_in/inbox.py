"""The inbox: counts the uploaded file that an S3 notification names.

A file is read in blocks and never held in memory as a whole; only its distinct words are. It is
validated to its end before the first write, so a refused file changes nothing.
"""

import codecs
import contextlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote_plus

from wordtally.domain import words
from wordtally.domain.fence import Fence, FencedCounts
from wordtally.errors import WordTooLong
from wordtally.work import Work

MAX_BYTES = 100 * 1024 * 1024
"""Maximum size of a file, also after decompression. Reading that much prose takes about 35 s of CPU:
docs/bench.md, A file."""

BLOCK_BYTES = 1024 * 1024
"""Size of a read from S3."""

TEXT_BYTES = 64 * 1024
"""Size of the pieces to split: limits the memory of `words.split` and of decompression."""

_GZIP_MAGIC = b"\x1f\x8b"


class Refused(Exception):
    """Nothing of the file is counted. `code` says why; it becomes the file's tag."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Gone(Exception):
    """The file was deleted before it was read."""


@dataclass(frozen=True)
class Upload:
    """One version of an object."""

    bucket: str
    key: str = field(repr=False)
    version_id: str | None = None
    """Set in a versioned bucket."""
    etag: str = ""


class Files(Protocol):
    """The uploaded files."""

    def read(self, upload: Upload, start: int, size: int, work: Work) -> tuple[bytes, int]:
        """Up to `size` bytes from `start`, and the size of the file. Raise Gone."""

    def tag(self, upload: Upload, outcome: str, work: Work) -> None:
        """Set the tag `wordtally`; keep the file's other tags. Raise Gone."""


class Abandoned(Exception):
    """All lanes are held, one of them by `upload`, which is no longer being written."""

    def __init__(self, upload: Upload) -> None:
        super().__init__()
        self.upload = upload


class Lanes(Protocol):
    """A file must hold a lane while its words are written, so that the writes are fenced."""

    def take(self, upload: Upload, work: Work) -> Fence | None:
        """Return the lane that the file holds, or wait for a free one. Return None if the file was
        counted before. Raise Abandoned."""

    def release(self, upload: Upload, fence: Fence, work: Work) -> None:
        """Release the lane of a file that is counted."""


class Counting(Protocol):
    """Implemented by ranking.Ranking."""

    def include(self, write: Callable[[], dict[str, int]], work: Work) -> object: ...


@dataclass(frozen=True)
class Inbox:
    files: Files
    lanes: Lanes
    counts: FencedCounts
    ranking: Counting
    max_words: int
    """Maximum number of distinct words in a file."""

    def count(self, upload: Upload, work: Work) -> dict[str, int]:
        """Count a file, tag it and return its words. Raise Refused (the file is tagged) or Gone."""
        try:
            counted = words_of(self.files, upload, self.max_words, work)
        except Refused as refused:
            self._tag(upload, refused.code, work)
            raise
        while True:
            try:
                fence = self.lanes.take(upload, work)
                break
            except Abandoned as abandoned:
                self._finish(abandoned.upload, work)
        if fence:
            self._write(upload, fence, counted, work)
        self._tag(upload, "counted", work)
        return counted

    def _write(self, upload: Upload, fence: Fence, counted: Mapping[str, int], work: Work) -> None:
        """Release the lane only after the report shows the words: a released file counts as done."""
        self.ranking.include(lambda: self.counts.add_fenced(fence, counted, work), work)
        self.lanes.release(upload, fence, work)

    def _finish(self, upload: Upload, work: Work) -> None:
        """Finish a file after a crash, so that its lane becomes free."""
        fence = self.lanes.take(upload, work)
        if fence is None:
            return
        try:
            counted = words_of(self.files, upload, self.max_words, work)
        except (Refused, Gone):
            # The file was deleted after the crash. The words written before the crash stay counted.
            self.lanes.release(upload, fence, work)
        else:
            self._write(upload, fence, counted, work)
            self._tag(upload, "counted", work)

    def _tag(self, upload: Upload, outcome: str, work: Work) -> None:
        with contextlib.suppress(Gone):  # the outcome stands even if the file was deleted
            self.files.tag(upload, outcome, work)


def uploads_of(event: Mapping[str, Any]) -> list[Upload]:
    """The uploads that an S3 notification announces."""
    return [_upload_of(record["s3"]) for record in event["Records"]]


def _upload_of(announced: Mapping[str, Any]) -> Upload:
    file = announced["object"]
    return Upload(
        announced["bucket"]["name"],
        unquote_plus(file["key"]),  # S3 encodes keys like form fields
        file.get("versionId"),
        file.get("eTag", ""),
    )


def words_of(files: Files, upload: Upload, max_words: int, work: Work) -> dict[str, int]:
    """How often each distinct word of the file occurs. Raise Refused or Gone."""
    counted: Counter[str] = Counter()
    splitter = words.Splitter()
    try:
        for text in _text_of(_unzipped(_blocks_of(files, upload, work))):
            counted.update(splitter.feed(text))
            if len(counted) > max_words:
                raise Refused("too_many_words")
            work.go_on()
        counted.update(splitter.end())
        words.check(counted)
    except WordTooLong:
        raise Refused("word_too_long") from None
    if len(counted) > max_words:
        raise Refused("too_many_words")
    if not counted:
        raise Refused("no_words")
    return dict(counted)


def _blocks_of(files: Files, upload: Upload, work: Work) -> Iterator[bytes]:
    start, size = 0, 1
    while start < size:
        block, size = files.read(upload, start, BLOCK_BYTES, work)
        if size > MAX_BYTES:
            raise Refused("too_large")
        for at in range(0, len(block), TEXT_BYTES):
            yield block[at : at + TEXT_BYTES]
        start += len(block)


def _unzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks, or their decompressed content in pieces of TEXT_BYTES if they are a gzip file."""
    first = next(blocks, b"")
    if not first.startswith(_GZIP_MAGIC):
        yield first
        yield from blocks
        return
    size = 0
    for piece in _members(first, blocks):
        size += len(piece)
        if size > MAX_BYTES:
            raise Refused("too_large")
        yield piece


def _members(rest: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of all members of a gzip file (RFC 1952: one or more, end to end)."""
    try:
        while rest:
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                piece = member.decompress(rest, TEXT_BYTES)
                rest = member.unconsumed_tail
                if not piece and not rest and not member.eof:
                    rest = next(blocks, b"")
                    if not rest:
                        raise Refused("damaged_gzip")
                yield piece
            rest = member.unused_data or next(blocks, b"")
    except zlib.error:
        raise Refused("damaged_gzip") from None


def _text_of(blocks: Iterator[bytes]) -> Iterator[str]:
    """The blocks as text, without a byte order mark."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        for block in blocks:
            yield decoder.decode(block)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise Refused("not_utf8") from None
