"""Seeded damage for data and files: trees with one thing wrong, bytes as a broken disk leaves them.

The same seed gives the same damage. ``RAW`` values stand for tokens that no writer of JSON would write.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

RAW: Final = {
    "@nan": "NaN",
    "@infinite": "Infinity",
    "@huge": "1e999",
    "@digits": "9" * 5_000,
    "@deep": "[" * 5_000 + "]" * 5_000,
    "@surrogate": '"\\ud800"',
}
"""What is put in the place of a text of this name when a tree is written."""

NASTY: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 5e-324, 1e9, 1e15, 1e308, -1e308, 2**31, 2**53, 2**63, 10**30,
    -(10**30),
    "", "x", "0", "1e9", "nan", "-1s", "1h", "a" * 100_000, "\x1b]0;X\a\r\n", "\u202e\u0085", "é",
    "../../../etc/passwd", "/dev/zero", "/etc/passwd", "${HOME}", [], {}, [{}],
    [None], {"a": 1}, {"": []}, [0] * 1_000, *RAW,
    7, 10**20, 10**400, 1e-9, 1e300, "1ms", "366d", "367d", "10/min", ["1000000000*1ms"], "a\x00b",
    {"type": "fixed", "value": 1}, {"type": "closed"},
)  # fmt: skip

Path = tuple[str | int, ...]


def places(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Every place of a tree below its root."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def mutated(tree: Any, rng: random.Random, times: int = 1) -> Any:
    """The tree with so many things changed: values replaced, taken away, wrapped, exchanged, renamed."""
    tree = copy.deepcopy(tree)
    for _ in range(times):
        found = list(places(tree))
        if not found:
            return rng.choice(NASTY)
        path = rng.choice(found)
        parent, key = _at(tree, path[:-1]), path[-1]
        match rng.randrange(8):
            case 0:
                del parent[key]
            case 1:
                parent[key] = [parent[key]]
            case 2:
                parent[key] = copy.deepcopy(_at(tree, rng.choice(found)))
            case 3 if isinstance(parent, dict):
                parent[rng.choice(("x", "x-y", "\x1b[2J", "", "a" * 300, f"{key}s"))] = parent.pop(key)
            case 4 if isinstance(parent[key], int | float):
                factor = rng.choice((-1, 0, 1e-9, 10, 1e6, 1e12))
                with suppress(OverflowError):  # 10**400 is no float
                    parent[key] = parent[key] * factor
            case _:
                parent[key] = copy.deepcopy(rng.choice(NASTY))
    return tree


def as_json(tree: Any) -> bytes:
    """The tree as JSON, or what looks like it."""
    text = json.dumps(tree, allow_nan=True)
    for name, raw in RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text.encode()


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _flipped(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 30))):
        if found:
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


_PATCHES: Final = (
    b"\0", b"\xff", b"\xed\xa0\x80", b'"', b"\n", b"\r", b",", b"\x1b[2J", b"9" * 400, b"{[", b"\0" * 4_096,
)  # fmt: skip


def _patched(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    more = rng.choice(_PATCHES)
    return data[:at] + more + data[at + rng.choice((0, len(more))) :]


def _text(encoding: str) -> Callable[[bytes, random.Random], bytes]:
    return lambda data, _rng: data.decode("latin-1").encode(encoding, "replace")


SPOILT: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    _cut, _cut, _flipped, _flipped, _patched, _patched,
    lambda _data, _rng: b"",
    lambda data, _rng: data * 2,
    lambda data, _rng: b"\xef\xbb\xbf" + data,
    lambda data, _rng: data.replace(b"\n", b"\r"),
    lambda data, _rng: data.replace(b"\n", b""),
    lambda data, _rng: data[::-1],
    _text("utf-16"), _text("utf-32-le"), _text("utf-7"),
)  # fmt: skip
"""What may happen to bytes."""


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """The bytes with something wrong."""
    return rng.choice(SPOILT)(data, rng)


def is_told_well(text: str, longest: int = 10_000) -> bool:
    """Whether a message can be shown on any terminal: not empty, not long, nothing that is obeyed."""
    return 0 < len(text.encode()) <= longest and all(line.isprintable() for line in text.split("\n"))
