"""What a file of measured values holds, within bounds: text, packed by gzip or not, or Parquet.

What it is shows in its first bytes, whatever its name. A file may come from anybody: no size that it claims
is believed, and what is no regular file (a pipe, a device) is never waited for.
"""

from __future__ import annotations

import io
import os
import stat
import zlib
from codecs import getincrementaldecoder
from gzip import BadGzipFile, GzipFile
from hashlib import sha256
from pathlib import Path
from typing import IO, Final, Literal, NamedTuple

MOST_BYTES: Final = 1 << 28
"""Of a file, and of the text that is packed in it."""

MOST_ROWS: Final = 10_000_000
"""Ten times as many as any recommendation could need; reading them takes a gigabyte."""

_LONGEST_LINE: Final = 1 << 20
_CHUNK: Final = 1 << 20

_PARQUET: Final = b"PAR1"

_NOT_READ: Final = {
    b"PK\x03\x04": "it is a ZIP archive or a spreadsheet; unpack it, or save it as CSV",
    b"\x28\xb5\x2f\xfd": "it is packed by zstd; unpack it, or pack it by gzip",
    b"BZh": "it is packed by bzip2; unpack it, or pack it by gzip",
    b"\xfd7zXZ": "it is packed by xz; unpack it, or pack it by gzip",
    b"\xff\xfe": "it is UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "it is UTF-16 text; save it as UTF-8",
    b"SQLite format 3": "it is a database; export the table as CSV",
}
"""First bytes of what people have, and what to do with it."""


class Unusable(ValueError):
    """A file cannot be used at all; the message is one clause and does not name the file."""


class Content(NamedTuple):
    """A file's bytes, unpacked; text is UTF-8 without a byte order mark, its lines end in a line feed."""

    kind: Literal["csv", "json", "parquet"]
    data: bytes
    packed: bool
    """Whether gzip had packed it."""
    digest: str
    """SHA-256 of the file as it is on disk, in hexadecimal digits."""


def content_of(file: Path) -> Content:
    """Return what a file holds; raises Unusable where it is nothing that can be read."""
    try:
        with _opened(file) as stream:
            first = stream.read(32)
            stream.seek(0)
            for magic, remedy in _NOT_READ.items():
                if first.startswith(magic):
                    raise Unusable(remedy)
            packed = first.startswith(b"\x1f\x8b")
            raw = _read(stream, "it")
            data = _read(GzipFile(fileobj=io.BytesIO(raw)), "what is packed in it") if packed else raw
    except (EOFError, zlib.error, BadGzipFile):
        raise Unusable("what is packed in it is damaged or cut off") from None
    except OSError as error:
        raise Unusable(error.strerror or str(error)) from None
    digest = sha256(raw).hexdigest()
    if data.startswith(_PARQUET):
        return Content("parquet", data, packed, digest)
    data = _text(data)
    start = data[:64].lstrip()
    looks_json = start.startswith(b"{") or (start[:1] == b"[" and start[1:].lstrip()[:1] in (b"{", b""))
    return Content("json" if looks_json else "csv", data, packed, digest)


def is_parquet(file: Path) -> bool:
    """Say whether a file begins as Parquet does; False where it cannot be read."""
    try:
        with _opened(file) as stream:
            return stream.read(4) == _PARQUET
    except (OSError, Unusable):
        return False


def _opened(file: Path) -> IO[bytes]:
    """Return the open file; opening a pipe that nobody writes to would wait for ever."""
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return open(handle, "rb")  # noqa: PTH123 - a handle, not a path
    os.close(handle)
    raise Unusable("it is no regular file")


def _read(stream: IO[bytes] | GzipFile, what: str) -> bytes:
    """Return all bytes of a stream; raises Unusable as soon as there are too many."""
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise Unusable(f"{what} has more than {MOST_BYTES >> 20} MiB; take a part of it")
    return data


def _text(data: bytes) -> bytes:
    """Return text as all readers take it; raises Unusable where it is none, or no table."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data or data.isspace():
        raise Unusable("it is empty")
    try:
        decoder = getincrementaldecoder("utf-8")()
        for start in () if data.isascii() else range(0, len(data), _CHUNK):
            decoder.decode(data[start : start + _CHUNK], final=start + _CHUNK >= len(data))
    except UnicodeDecodeError:
        raise Unusable("it is not UTF-8 text") from None
    if b"\0" in data:
        raise Unusable("it is not text: there are NUL characters in it")
    if b"\n" not in data and b"\r" in data:  # as old spreadsheets of the Macintosh write
        data = data.replace(b"\r", b"\n")
    if (line := _too_long(data)) is not None:
        raise Unusable(f"its line {line} is longer than 1 MiB; is it a table of values?")
    if data.count(b"\n") > MOST_ROWS:
        raise Unusable(f"it has more than {MOST_ROWS:,} lines; take a part of them")
    return data


def _too_long(data: bytes) -> int | None:
    """Return the number of the first line that is too long; None if there is none."""
    start = 0
    while len(data) - start > _LONGEST_LINE:
        last = data.rfind(b"\n", start, start + _LONGEST_LINE + 1)
        if last < 0:
            return data.count(b"\n", 0, start) + 1
        start = last + 1
    return None
