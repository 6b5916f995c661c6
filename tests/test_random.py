"""Keyed randomness: pure, the same for a value and for an array, and as good as uniform."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from scenarios.draws import Draws, uniform, uniforms

WORDS = st.integers(0, 2**64 - 1)
DRAWS = 20_000


@given(seed=WORDS, stream=st.text(max_size=20), key=WORDS, n=st.integers(0, 2**63))
@example(seed=0, stream="", key=0, n=0)
@example(seed=2**64 - 1, stream="jitter", key=2**63, n=2**63)
@example(seed=1, stream="jitter", key=2**64 - 1, n=0)
def test_a_draw_is_in_the_unit_interval_and_has_53_bits(seed: int, stream: str, key: int, n: int) -> None:
    """Every draw is a multiple of 2**-53 in [0, 1), whatever its coordinates."""
    u = uniform(seed, stream, key, n)
    assert 0.0 <= u < 1.0
    assert (u * 2**53).is_integer()


@given(seed=WORDS, stream=st.sampled_from(["arrival", "jitter"]), keys=st.lists(WORDS, min_size=1), n=WORDS)
@example(seed=3, stream="arrival", keys=[0, 2**63, 2**64 - 1], n=2**64 - 1)
def test_arrays_give_the_very_bits_of_single_draws(seed: int, stream: str, keys: list[int], n: int) -> None:
    """`uniforms` equals `uniform` to the last bit, over keys and over n, signed or not."""
    words = np.array(keys, dtype=np.uint64)
    singles = [uniform(seed, stream, key, n) for key in keys]
    assert [Draws(seed, stream, key)(n) for key in keys] == singles
    assert uniforms(seed, stream, words, n).tolist() == singles
    assert uniforms(seed, stream, words.astype(np.int64), n).tolist() == singles
    over_n = uniforms(seed, stream, np.array([n], dtype=np.uint64), words).tolist()
    assert over_n == [uniform(seed, stream, n, key) for key in keys]


def test_keys_and_attempts_broadcast() -> None:
    """A column of keys and a row of attempts give the whole table."""
    table = uniforms(1, "delay", np.arange(3)[:, None], np.arange(4))
    assert table.shape == (3, 4)
    assert table[2, 3] == uniform(1, "delay", 2, 3)


def test_a_draw_does_not_depend_on_the_process() -> None:
    """Another process, with another hash seed and an empty cache, draws the same."""
    code = "from scenarios.draws import uniform; print(uniform(42, 'duration', 17, 3).hex())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == uniform(42, "duration", 17, 3).hex()


@pytest.mark.parametrize(
    ("seed", "stream", "keys", "n"),
    [
        (0, "duration", np.arange(DRAWS), 0),
        (2**64 - 1, "duration", np.arange(DRAWS), 1),
        (1, "jitter", np.array([17]), np.arange(DRAWS)),
        (7, "arrival", 10**9 + np.arange(DRAWS), 0),
        (7, "fault", np.arange(DRAWS) << 32, 0),
    ],
)
def test_draws_are_uniform(seed: int, stream: str, keys: Any, n: Any) -> None:
    """Kolmogorov and Smirnov find nothing over keys, attempts, and keys that differ in high bits only."""
    draws = uniforms(seed, stream, keys, n)
    assert stats.kstest(draws, "uniform").pvalue > 1e-3
    low_bits = (draws * 2**53).astype(np.int64) & 0xFF
    assert stats.chisquare(np.bincount(low_bits, minlength=256)).pvalue > 1e-3


def test_neighbouring_coordinates_are_uncorrelated() -> None:
    """Seeds, streams, keys and attempts next to each other give independent draws, pair by pair."""
    keys = np.arange(DRAWS)
    series = {
        "base": uniforms(5, "duration", keys),
        "next seed": uniforms(6, "duration", keys),
        "next key": uniforms(5, "duration", keys + 1),
        "next n": uniforms(5, "duration", keys, 1),
        "key as n": uniforms(5, "duration", np.array([0]), keys),
        "other stream": uniforms(5, "outcome", keys),
        "similar stream": uniforms(5, "duration ", keys),
    }
    for (one, xs), (other, ys) in itertools.combinations(series.items(), 2):
        correlation = stats.pearsonr(xs, ys).statistic
        assert abs(correlation) < 4.5 / DRAWS**0.5, f"{one} and {other}"


def test_no_two_jobs_share_a_draw() -> None:
    """A million coordinates give a million different draws: key and n are not merely added up."""
    draws = uniforms(5, "jitter", np.arange(1000)[:, None], np.arange(1000))
    assert np.unique(draws).size == draws.size
