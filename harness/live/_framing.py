"""What a journal holds, and its form on disk: entries in frames that tell whether they are whole.

A frame is the length of what follows and its CRC-32 (both four bytes, little-endian), then one entry as
MessagePack. Frames follow each other in one stream of bytes, so the stream may be cut anywhere (a process was
killed, the disk was full): what is before the cut is sound, and nothing behind it is believed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.measure import JOURNAL

_HEAD: Final = struct.Struct("<II")


class Began(msgspec.Struct, tag="began", frozen=True):
    """A run began. record: what ``run.json`` holds, without visits. plans: index, repeat, setting of each."""

    record: dict[str, Any]
    plans: list[tuple[int, int, str]]


class Measured(msgspec.Struct, tag="measured", frozen=True):
    """Rows that came in since the entry before, in the form in which they travel between processes."""

    jobs: dict[str, Any]
    polls: dict[str, Any]


class Closed(msgspec.Struct, tag="closed", frozen=True):
    """A visit was closed. visit: as ``run.json`` holds it."""

    visit: dict[str, Any]


class Ended(msgspec.Struct, tag="ended", frozen=True):
    """All rows are there. incomplete: why the run ended early, None if it did not."""

    incomplete: str | None


Entry = Began | Measured | Closed | Ended

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Entry)


def framed(entry: Entry) -> bytes:
    """Return the frame of an entry."""
    data = _encoder.encode(entry)
    return _HEAD.pack(len(data), zlib.crc32(data)) + data


def entries(read: Callable[[int], bytes]) -> Iterator[Entry]:
    """Yield the entries of a stream up to the first that is not whole or not sound.

    read: returns so many of the bytes that come next, fewer only at the stream's end.
    """
    while len(head := read(_HEAD.size)) == _HEAD.size:
        length, checksum = _HEAD.unpack(head)
        data = read(length)
        if len(data) < length or zlib.crc32(data) != checksum:
            return
        try:
            yield _decoder.decode(data)
        except (msgspec.MsgspecError, RecursionError):  # which a checksum cannot tell from what we wrote
            return


def part(folder: Path, number: int) -> Path:
    """Return where the part of a journal with this number is, from 0."""
    return folder / (f"{JOURNAL}.{number + 1}" if number else JOURNAL)


def remove(folder: Path) -> None:
    """Remove a journal, its first part last: without that there is none. Raises OSError."""
    number = 0
    while part(folder, number + 1).exists():
        number += 1
    for each in range(number, -1, -1):
        part(folder, each).unlink(missing_ok=True)
