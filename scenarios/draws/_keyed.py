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

so over ``key`` and over ``n`` the inputs of ``mix`` walk exactly as splitmix64's own state does.
"""

from __future__ import annotations

from enum import StrEnum, unique
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, made odd: splitmix64's step
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_UNIT = 2.0**-53


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
    SPLIT = "split"
    """Which half a measured duration falls in when one half tests what the other has taught."""


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


def _mix_array(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX_2)
    return z ^ (z >> np.uint64(31))


def _as_words(values: int | NDArray[np.int64] | NDArray[np.uint64]) -> NDArray[np.uint64]:
    if isinstance(values, int):
        return np.array([values & _MASK], dtype=np.uint64)
    return np.atleast_1d(np.asarray(values)).astype(np.uint64)


def uniforms(
    seed: int,
    stream: Stream,
    keys: NDArray[np.int64] | NDArray[np.uint64],
    n: int | NDArray[np.int64] | NDArray[np.uint64] = 0,
) -> NDArray[np.float64]:
    """Return `uniform` for whole arrays of ``keys`` and ``n`` (broadcast together), bit for bit the same."""
    root, golden, one = np.uint64(_root(seed, stream)), np.uint64(_GOLDEN), np.uint64(1)
    subject = _mix_array(root + (_as_words(keys) + one) * golden)
    words = _mix_array(subject + (_as_words(n) + one) * golden)
    return (words >> np.uint64(11)).astype(np.float64) * _UNIT
