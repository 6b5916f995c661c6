"""Replies in bounded room: a job's status is a few hundred bytes, whatever the service sends."""

from __future__ import annotations

import zlib
from typing import Final

_MOST_BODY: Final = 8 << 20  # bytes, as sent and as unpacked: a job's status is a few hundred

ENCODINGS: Final = "gzip, deflate"
"""What the drivers accept: what ``unpacked`` can unpack piece by piece."""


class BadReply(ConnectionError):
    """The service sent what is no usable reply, or one that is larger than any status."""


class Body:
    """A body that comes in pieces; for drivers, ours and others."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Add a piece. Raises BadReply when there is too much of it."""
        self._size += len(piece)
        if self._size > _MOST_BODY:
            raise BadReply(f"the reply is larger than {_MOST_BODY} bytes")
        self._pieces.append(piece)

    def unpacked(self, encoding: str | None) -> bytes:
        """Return the whole, unpacked from its Content-Encoding.

        Raises BadReply when it is broken, too large, or packed in a way that nobody asked for.
        """
        body, packing = b"".join(self._pieces), (encoding or "").strip().lower()
        if not body or packing in ("", "identity"):
            return body
        if packing not in ("gzip", "x-gzip", "deflate"):
            raise BadReply(f"the reply is packed as {packing[:40]!r}, which was not asked for")
        raw = packing == "deflate" and body[0] & 0x0F != 8  # some servers leave zlib's own header away
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS | 32)
        try:
            whole = unpacker.decompress(body, _MOST_BODY + 1)
        except zlib.error as error:
            raise BadReply(f"the reply's {packing} is broken: {error}") from error
        if len(whole) > _MOST_BODY:
            raise BadReply(f"the reply unpacks to more than {_MOST_BODY} bytes")
        if not unpacker.eof:
            raise BadReply(f"the reply's {packing} is cut short")
        return whole
