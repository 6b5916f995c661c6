"""Keyed randomness: every draw is a pure function of ``(seed, stream, key, n)``.

A generator with a state would tie a job's fate to the order in which clients happen to ask. Here the draw is
computed from its own coordinates instead, so job 17 has the same duration under every setting, on any worker,
live or in virtual time.

The function is a counter-based generator in the sense of Salmon et al., "Parallel Random Numbers: As Easy as
1, 2, 3" (2011), built from the output function of splitmix64 (Steele, Lea and Flood, "Fast Splittable
Pseudorandom Number Generators", 2014, variant 13 of Stafford's mixers)::

    root    = mix(mix(seed + G) + blake2b(stream))
    subject = mix(root + (key + 1) * G)
    uniform = mix(subject + (n + 1) * G) >> 11, times 2**-53         (all modulo 2**64)

so over ``key`` and over ``n`` the inputs of ``mix`` walk exactly as splitmix64's own state does. It stands
here in plain Python for one draw and in NumPy for arrays, to the same bits; an inner loop may keep the
``subject`` of each job and mix one number per poll, in place.
"""

from __future__ import annotations

from enum import StrEnum, unique
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""An array of real numbers."""

Integers = NDArray[np.int64]
"""An array of whole numbers."""

Words = NDArray[np.uint64]
"""An array of 64 random bits each."""

_UNIT: Final = 2.0**-53
"""The distance between neighbouring draws: every draw is a whole multiple of it."""

_MASK: Final = 2**64 - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, made odd: splitmix64's step
_MIX_1: Final = 0xBF58476D1CE4E5B9
_MIX_2: Final = 0x94D049BB133111EB
_S11: Final = np.uint64(11)
_S27: Final = np.uint64(27)
_S30: Final = np.uint64(30)
_S31: Final = np.uint64(31)


@unique
class Stream(StrEnum):
    """What a draw is for; draws of different streams are independent of each other.

    The value is mixed into every draw: a changed spelling is another experiment.
    """

    ARRIVAL = "arrival"
    """The gap before a job's planned submission."""
    DURATION = "duration"
    """The work in a job."""
    OUTCOME = "outcome"
    """Whether a job fails."""
    DELAY = "delay"
    """How long the reply to the n-th poll of a job takes (0: to its submission)."""
    FAULT = "fault"
    """Whether the n-th poll of a job fails, and how."""
    SERVICE = "service"
    """How long the n-th poll of a job occupies a worker."""
    JITTER = "jitter"
    """Where the n-th wait of a job's client lies under its ceiling."""
    THINK = "think"
    """How long a lane of a closed loop waits after a job."""
    CELL = "cell"
    """Where a measured duration lies in the cell that rounding left open, when each is wanted once."""
    SPLIT = "split"
    """Which half a measured duration falls in when one half tests what the other has taught."""
    RESAMPLE = "resample"
    """Which job the n-th resampling of a run's jobs takes in a job's place."""
    MACHINE = "machine"
    """How much later than planned the n-th of several machines sends a job's submission."""


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * _MIX_1) & _MASK
    z = ((z ^ (z >> 27)) * _MIX_2) & _MASK
    return z ^ (z >> 31)


@lru_cache(maxsize=1024)
def _root(seed: int, stream: Stream) -> int:
    name = int.from_bytes(blake2b(stream.encode(), digest_size=8).digest(), "little")
    return _mix((_mix((seed + _GOLDEN) & _MASK) + name) & _MASK)


def uniform(seed: int, stream: Stream, key: int, n: int = 0) -> float:
    """Return the draw that belongs to these coordinates: a float in [0, 1) with 53 random bits.

    ``seed`` is the scenario's, ``stream`` is the use of the draw, ``key`` the job's index
    and ``n`` the poll or attempt. Integers count modulo 2**64.
    """
    subject = _mix((_root(seed, stream) + (key + 1) * _GOLDEN) & _MASK)
    return (_mix((subject + (n + 1) * _GOLDEN) & _MASK) >> 11) * _UNIT


class Draws:
    """All draws of a stream and a key: called with n, the very ``uniform`` of these four.

    What they have in common is kept, so that each takes half as long.
    """

    __slots__ = ("_subject",)

    def __init__(self, seed: int, stream: Stream, key: int) -> None:
        self._subject = _mix((_root(seed, stream) + (key + 1) * _GOLDEN) & _MASK)

    def __call__(self, n: int) -> float:
        """Return draw number n."""
        return (_mix((self._subject + (n + 1) * _GOLDEN) & _MASK) >> 11) * _UNIT


def subjects(seed: int, stream: Stream, keys: int | Integers | Words) -> Words:
    """Return what all draws of each of these keys have in common, whatever their ``n``; at least 1-d."""
    words = (_as_words(keys) + np.uint64(1)) * np.uint64(_GOLDEN)
    words += np.uint64(_root(seed, stream))
    _mix_in_place(words, np.empty_like(words))
    return words


def draws_of(subject: Words, n: int | Integers | Words) -> Floats:
    """Return the draws number ``n`` of ``subjects`` (broadcast together): uniform in [0, 1)."""
    if isinstance(n, int):
        words = subject + np.uint64(((n + 1) * _GOLDEN) & _MASK)
    else:
        words = subject + (_as_words(n) + np.uint64(1)) * np.uint64(_GOLDEN)
    _mix_in_place(words, np.empty_like(words))
    np.right_shift(words, _S11, out=words)
    return words.view(np.int64).astype(np.float64) * _UNIT


def uniforms(
    seed: int, stream: Stream, keys: int | Integers | Words, n: int | Integers | Words = 0
) -> Floats:
    """Return ``uniform`` for arrays of ``keys`` and ``n`` (broadcast together), bit for bit the same."""
    return draws_of(subjects(seed, stream, keys), n)


def _mix_in_place(words: Words, scratch: Words) -> None:
    np.right_shift(words, _S30, out=scratch)
    np.bitwise_xor(words, scratch, out=words)
    np.multiply(words, np.uint64(_MIX_1), out=words)
    np.right_shift(words, _S27, out=scratch)
    np.bitwise_xor(words, scratch, out=words)
    np.multiply(words, np.uint64(_MIX_2), out=words)
    np.right_shift(words, _S31, out=scratch)
    np.bitwise_xor(words, scratch, out=words)


def _as_words(values: int | Integers | Words) -> Words:
    if isinstance(values, int):
        return np.array([values & _MASK], dtype=np.uint64)
    return np.atleast_1d(np.asarray(values)).astype(np.uint64)
