"""Keyed draws for whole arrays, without allocating: ``server.uniforms`` unrolled for the inner loop.

A poll's draw mixes the job's *subject* (which depends on stream and key) with the poll's number. Subjects are
mixed once per job here, and the rest works in buffers that stay in the processor's cache. The constants are
those of ``server._random``; a test holds every draw against ``server.uniforms``, bit for bit.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from scenarios.draws import Stream

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

UNIT = 2.0**-53
_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


def mix(words: Words, scratch: Words) -> None:
    """Scramble ``words`` in place (splitmix64's output function)."""
    np.right_shift(words, _S30, out=scratch)
    np.bitwise_xor(words, scratch, out=words)
    np.multiply(words, _MIX_1, out=words)
    np.right_shift(words, _S27, out=scratch)
    np.bitwise_xor(words, scratch, out=words)
    np.multiply(words, _MIX_2, out=words)
    np.right_shift(words, _S31, out=scratch)
    np.bitwise_xor(words, scratch, out=words)


def subjects(seed: int, stream: Stream, keys: Integers) -> Words:
    """Return what a stream's draws for these keys have in common, whatever the poll's number."""
    name = int.from_bytes(blake2b(stream.encode(), digest_size=8).digest(), "little")
    root = _mix_one((_mix_one((seed + _GOLDEN) & _MASK) + name) & _MASK)
    words = (keys.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN)
    words += np.uint64(root)
    mix(words, np.empty_like(words))
    return words


def draw_words(subject: Words, n: int, out: Words, scratch: Words) -> None:
    """Put the 53 random bits of draw ``n`` of each subject into ``out``: the draw is that times 2**-53."""
    np.add(subject, np.uint64(((n + 1) * _GOLDEN) & _MASK), out=out)
    mix(out, scratch)
    np.right_shift(out, _S11, out=out)


def draws(subject: Words, n: int | Integers) -> Floats:
    """Return draw ``n`` (one number, or one per subject) of each subject: uniform in [0, 1)."""
    if isinstance(n, int):
        words = subject + np.uint64(((n + 1) * _GOLDEN) & _MASK)
    else:
        words = (n.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN)
        words += subject
    mix(words, np.empty_like(words))
    np.right_shift(words, _S11, out=words)
    return words.view(np.int64).astype(np.float64) * UNIT


def _mix_one(word: int) -> int:
    words = np.array([word], dtype=np.uint64)
    mix(words, np.empty_like(words))
    return int(words[0])
