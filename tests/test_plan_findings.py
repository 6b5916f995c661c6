"""What a plan finds is data, and each kind of finding has its sentences."""

from __future__ import annotations

import math

import pytest

from harness.plan._findings import (
    Finding,
    Fragile,
    Judged,
    MeetsObjectives,
    NoneMeets,
    OtherTakes,
    SavesLittle,
    ToldTimeLeft,
    Tried,
)

SAID: list[tuple[Finding, str]] = [
    (OtherTakes("a", 4.0, 0.5, None), "a takes 4.00 polls per job, for a mean lag of 500 ms."),
    (
        OtherTakes("a", 4.0, 0.5, meets=True),
        "a takes 4.00 polls per job, for a mean lag of 500 ms and meets them too.",
    ),
    (
        OtherTakes("a", 4.0, 0.5, meets=False),
        "a takes 4.00 polls per job, for a mean lag of 500 ms and does not surely meet them.",
    ),
    (SavesLittle("a", 0.012), "The best that a search found, a, would save only 1.2 % of that."),
    (
        MeetsObjectives("a", "every 1 s", (Judged("lag_p95", 0.9, 2.0),), 3.0, None),
        "a (every 1 s) meets the objectives (lag_p95 900 ms, allowed 2.00 s) with 3.00 polls per job.",
    ),
    (
        MeetsObjectives("a", "every 1 s", (Judged("polls_per_job", 3.0, 4.0),), 3.0, 0.2),
        "a (every 1 s) meets the objectives (polls_per_job 3.00, allowed 4.00) with 3.00 polls per job, "
        "weighing a poll as 200 ms of lag.",
    ),
    (
        NoneMeets({"lag_p99": 1.0}, "a", (Judged("lag_p99", math.inf, 1.0),), 0.0),
        "No setting was found that surely meets lag_p99 ≤ 1.00 s. The nearest of those tried, a, comes to "
        "lag_p99 what the sample cannot tell (allowed 1.00 s), by the upper end of its 95 % interval.",
    ),
    (
        NoneMeets({"lag_p99": 1.0}, "a", (), 0.5),
        "No setting was found that surely meets lag_p99 ≤ 1.00 s. The nearest of those tried, a, comes to "
        "50 % of the jobs lost, by the upper end of its 95 % interval.",
    ),
    (
        Fragile("half as long", "a", 3.0, None, 2.0, ()),
        "If durations are half as long, a takes 3.00 polls per job instead of 2.00.",
    ),
    (
        Fragile("twice as long", "a", 6.0, 5.0, 3.0, ("lag_p95", "lag_max")),
        "If durations are twice as long, a takes 6.00 polls per job (best exponential: 5.00) instead of "
        "3.00, and misses lag_p95, lag_max.",
    ),
    (
        ToldTimeLeft(("a", "b")),
        "The service tells the time left (retry_after: eta, or progress that restarts a cadence) to a, b: "
        "that is more than a schedule knows, so a ratio below 1 is what the hint is worth.",
    ),
    (
        Tried(321, 0.02),
        "321 settings were simulated. Of those within 2 % of the best the simplest is taken, if it holds on "
        "jobs of another seed too.",
    ),
]


@pytest.mark.parametrize(("finding", "words"), SAID, ids=lambda each: type(each).__name__)
def test_a_finding_says_its_numbers(finding: Finding, words: str) -> None:
    """Times have units, plain numbers three digits, and what does not apply is left out."""
    assert finding.words() == words
