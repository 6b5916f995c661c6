"""What waits are counted from: replies, the start or the clock; beats that are missed; starting again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import (
    ANCHORS,
    EDGE_S,
    JITTERS,
    Backoff,
    Conversation,
    Dialect,
    Done,
    ErrorPolicy,
    Failure,
    HintPolicy,
    InvalidSetting,
    JobRef,
    Poller,
    PollingPolicy,
    Response,
    Wait,
)

TRANSPORT = Failure("transport")
TEN = Backoff("constant", 10)
DOUBLING = Backoff("exponential", 1, maximum=8)
SECOND = ErrorPolicy(Backoff("constant", 1))


def sent(
    policy: PollingPolicy,
    latencies: Iterable[float],
    *,
    started: float = 0.0,
    epoch: float = 0.0,
    uniform: Callable[[int], float] = lambda _n: 0.5,
    hints: dict[int, float] | None = None,
    failures: Iterable[int] = (),
    progress: dict[int, object] | None = None,
) -> list[float]:
    """When the polls of a pending job are sent, if the replies take this long; rounded to a picosecond."""
    machine = Poller(policy, uniform, epoch=epoch)
    command: Any = machine.start(started)
    times = []
    for number, latency in enumerate(latencies, start=1):
        if isinstance(command, Done):
            break
        now = command.until
        times.append(round(now, 12))
        machine.wake(now)
        hint = (hints or {}).get(number)
        if number in failures:
            command = machine.fail(now + latency, TRANSPORT, hint)
        else:
            command = machine.reply(now + latency, "pending", hint, (progress or {}).get(number))
    return times


# The three anchors


def test_a_cadence_counted_from_replies_gives_way_to_a_slow_server() -> None:
    """Each wait of 10 s begins where the reply before it arrived."""
    assert sent(PollingPolicy(TEN), [0, 2, 3, 0]) == [10, 20, 32, 45]


def test_a_cadence_counted_from_the_start_keeps_its_rate() -> None:
    """Polls fall on the start plus 10, 20, 30 s, whatever replies take."""
    assert sent(PollingPolicy(TEN, anchor="start"), [0, 2, 9.9, 0], started=3) == [13, 23, 33, 43]


def test_a_cadence_on_the_clock_polls_at_its_multiples() -> None:
    """Whenever a job starts, its polls come at 10, 20, 30 s on the clock, which every client shares."""
    for started in (3.0, 9.5, 0.0):
        assert sent(PollingPolicy(TEN, anchor="clock"), [0, 2, 9.9, 0], started=started) == [10, 20, 30, 40]


def test_the_clock_is_the_callers() -> None:
    """The epoch is where the driver's clock has a multiple: 1970, say, or the start of a visit."""
    assert sent(PollingPolicy(TEN, anchor="clock"), [0, 0], started=3, epoch=4) == [4, 14]
    at_noon = 1_700_000_000.0  # a multiple of 10
    assert sent(PollingPolicy(TEN, anchor="clock"), [0], started=100, epoch=104 - at_noon) == [104]


@pytest.mark.parametrize(
    ("backoff", "beats"),
    [
        (DOUBLING, [1, 3, 7, 15, 23, 31]),
        (Backoff("linear", 1, increment=2), [1, 4, 9, 16, 25, 36]),
        (Backoff("fibonacci", 1), [1, 2, 4, 7, 12, 20]),
        (Backoff("schedule", delays=[3, 0, 1, 2]), [3, 3, 4, 6, 8, 10]),
        (Backoff("schedule", delays=[2, 4, 8], until=[4, 12]), [2, 4, 8, 12, 20, 28]),
        (Backoff("constant", 0.1), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    ],
)
def test_beats_are_the_sums_of_the_ceilings(backoff: Backoff, beats: list[float]) -> None:
    """Beat k is the sum of the first k ceilings; a tier ends when the beats say so, not the replies."""
    assert sent(PollingPolicy(backoff, anchor="start"), [0] * 6) == beats


def test_on_the_clock_a_curve_makes_the_grid_coarser() -> None:
    """Poll k waits for the next multiple of ceiling k: 1, 2, 4, 8, 8 s."""
    assert sent(PollingPolicy(DOUBLING, anchor="clock"), [0] * 5, started=0.3) == [1, 2, 4, 8, 16]


def test_constant_beats_do_not_drift() -> None:
    """A million beats of 0.1 s are 100,000 s to the last bit: a product, not a sum of rounded numbers."""
    assert Backoff("constant", 0.1).beats.end(1_000_000) == 100_000.0
    assert sum([0.1] * 1_000_000) != 100_000.0


@pytest.mark.parametrize("anchor", ["start", "clock"])
def test_an_immediate_first_poll_comes_before_the_first_beat(anchor: str) -> None:
    """It takes no beat: the next poll is on beat 1."""
    policy = PollingPolicy(TEN, anchor=anchor, first_poll="immediately")
    assert sent(policy, [0.5, 0.5, 0.5]) == [0, 10, 20]


# Jitter


@pytest.mark.parametrize(
    ("jitter", "u", "polls"),
    [
        ("full", 0.25, [2.5, 12.5, 22.5]),
        ("equal", 0.5, [7.5, 17.5, 27.5]),
        ("half-around", 0.75, [12.5, 22.5, 32.5]),
        ("second-more", 0.5, [10.5, 20.5, 30.5]),
    ],
)
@pytest.mark.parametrize("anchor", ["start", "clock"])
def test_jitter_draws_where_in_its_slot_a_poll_falls(
    anchor: str, jitter: str, u: float, polls: list[float]
) -> None:
    """The slot of beat k begins at beat k - 1; the drawn delay counts from there."""
    policy = PollingPolicy(Backoff("constant", 10, jitter=jitter), anchor=anchor)
    assert sent(policy, [0.1] * 3, uniform=lambda _n: u) == polls


def test_full_jitter_on_the_clock_waits_less_than_one_interval() -> None:
    """A draw that lies before the start is for the next slot: 2 s of 10 has passed at 3.7 s, 6 s has not."""
    policy = PollingPolicy(Backoff("constant", 10, jitter="full"), anchor="clock")
    assert sent(policy, [0], started=3.7, uniform=lambda _n: 0.2) == [12]
    assert sent(policy, [0], started=3.7, uniform=lambda _n: 0.6) == [6]


def test_jitter_that_grows_by_itself_has_no_beats() -> None:
    """Decorrelated delays hang on each other, so that no sum of ceilings says where they belong."""
    for anchor in ("start", "clock"):
        with pytest.raises(
            InvalidSetting, match=rf"^anchor='{anchor}' .*decorrelated jitter has no beats; choose"
        ):
            PollingPolicy(Backoff("exponential", 1, jitter="decorrelated"), anchor=anchor)


# Missed beats


@pytest.mark.parametrize("anchor", ["start", "clock"])
def test_missed_beats_are_skipped(anchor: str) -> None:
    """A reply that takes 25 s costs the beats at 20 and 30 s; the next poll is back on the beat."""
    assert sent(PollingPolicy(TEN, anchor=anchor), [25, 0, 0]) == [10, 40, 50]


@pytest.mark.parametrize("anchor", ["start", "clock"])
def test_missed_beats_follow_at_once(anchor: str) -> None:
    """With catch_up each of them is polled for, one after the other, until the beat is reached again."""
    policy = PollingPolicy(TEN, anchor=anchor, missed="catch_up")
    assert sent(policy, [25, 0.5, 0.5, 0.5, 0]) == [10, 35, 35.5, 40, 50]


@pytest.mark.parametrize("anchor", ["start", "clock"])
def test_a_beat_on_which_a_reply_arrives_is_not_missed(anchor: str) -> None:
    """Nor is one that passed within a microsecond, which is how sums of decimal fractions miss it."""
    policy = PollingPolicy(TEN, anchor=anchor)
    assert sent(policy, [10, 0]) == [10, 20]
    assert sent(policy, [10 + EDGE_S / 2, 0]) == [10, 20 + EDGE_S / 2]
    assert sent(policy, [10 + 2 * EDGE_S, 0]) == [10, 30]


def test_skipped_beats_count_as_delays_of_the_curve() -> None:
    """From the start a curve is a matter of time: after 6 s without a reply the slot of 8 s has come."""
    assert sent(PollingPolicy(DOUBLING, anchor="start"), [6.5, 0, 0]) == [1, 15, 23]


def test_a_missed_draw_costs_its_slot() -> None:
    """A reply 3 s into the next slot, whose draw was for its second second: the one after is next."""
    policy = PollingPolicy(Backoff("constant", 10, jitter="full"), anchor="start")
    assert sent(policy, [11, 0], uniform=lambda _n: 0.2) == [2, 22]
    assert sent(policy, [9, 0], uniform=lambda _n: 0.2) == [2, 12]


def test_replies_miss_no_beats() -> None:
    """So there is nothing to say about missed ones: the setting would be ignored."""
    with pytest.raises(InvalidSetting, match=r"^missed='catch_up' .*has no beats to miss"):
        PollingPolicy(TEN, missed="catch_up")


# Failed reads, hints, the deadline


@pytest.mark.parametrize("anchor", ["start", "clock"])
def test_retries_of_failed_reads_take_no_beat(anchor: str) -> None:
    """The error policy counts from the failure; after the next good read polls are back on the beat."""
    policy = PollingPolicy(TEN, anchor=anchor, errors=SECOND)
    assert sent(policy, [0.5, 0.5, 0.5, 0], failures=[1, 2]) == [10, 11.5, 13, 20]


def test_beats_that_pass_while_reads_fail_are_owed() -> None:
    """A fixed rate piles up behind an outage: each beat of the 25 s without a good read follows at once."""
    policy = PollingPolicy(
        Backoff("constant", 5), anchor="start", missed="catch_up", errors=ErrorPolicy(Backoff("constant", 12))
    )
    assert sent(policy, [0, 0, 0, 0, 0, 0, 0, 0], failures=[1, 2]) == [5, 17, 29, 29, 29, 29, 29, 30]


@pytest.mark.parametrize("anchor", ["start", "clock"])
@pytest.mark.parametrize("missed", ["skip", "catch_up"])
def test_what_a_hint_passes_over_is_done(anchor: str, missed: Any) -> None:
    """A poll comes when the hint says, off the beat; nobody makes up for beats the server asked to leave."""
    policy = PollingPolicy(TEN, anchor=anchor, missed=missed, hints=HintPolicy(spread=0))
    assert sent(policy, [0, 0, 0], hints={1: 27}) == [10, 37, 40]
    assert sent(policy, [0, 0, 0], hints={1: 30}) == [10, 40, 50]  # a hint that ends on a beat
    assert sent(policy, [0, 0, 0], hints={1: 3}) == [10, 20, 30]  # and one that ends before it


@pytest.mark.parametrize("anchor", ["start", "clock"])
def test_a_hint_with_a_failed_read_passes_over_beats_too(anchor: str) -> None:
    """A 429 with Retry-After is a request to stay away, whoever times the retry."""
    policy = PollingPolicy(TEN, anchor=anchor, missed="catch_up", errors=SECOND, hints=HintPolicy(spread=0))
    assert sent(policy, [0, 0, 0], failures=[1], hints={1: 27}) == [10, 37, 40]


@pytest.mark.parametrize("anchor", ["start", "clock"])
def test_the_last_poll_is_at_the_deadline_and_not_on_a_beat(anchor: str) -> None:
    """The edge counts from the start, and a beat that rounding puts beside it is the same poll."""
    assert sent(PollingPolicy(TEN, anchor=anchor, deadline=25), [0] * 9) == [10, 20, 25]
    tenths = PollingPolicy(Backoff("constant", 0.1), anchor=anchor, deadline=1)
    assert len(sent(tenths, [0] * 20)) == 10


# Tiers


def test_tiers_end_by_the_time_that_has_passed() -> None:
    """Every 5 s until 2 min, every 15 s until 10 min, then every 30 s: 24, 32 and 40 polls in 30 minutes."""
    tiers = Backoff("schedule", delays=[5, 15, 30], until=[120, 600])
    times = sent(PollingPolicy(tiers), [0.0] * 96)
    assert [times[k] for k in (0, 23, 24, 55, 56, 95)] == [5, 120, 135, 600, 630, 1800]
    slow = sent(PollingPolicy(tiers), [10.0] * 12)  # each reply takes 10 s: 8 polls in the first tier
    assert slow[7:10] == [110, 135, 160]


def test_delays_before_the_tiers_come_once_each() -> None:
    """delays=[1, 2, 5, 30], until=[20]: 1 s, 2 s, every 5 s until 20 s, then every 30 s."""
    tiers = Backoff("schedule", delays=[1, 2, 5, 30], until=[20])
    assert sent(PollingPolicy(tiers), [0.0] * 7) == [1, 3, 8, 13, 18, 23, 53]
    assert tiers.describe() == "schedule: 1 s, 2 s, every 5 s until 20 s, then every 30 s, no jitter"


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"delays": [5], "until": [10]}, r"until=\(10.0,\) .* the last delay never ends"),
        ({"delays": [5, 6, 7], "until": [10, 10]}, r"until\[1\]=10.0 .* more than the 10 s before it"),
        ({"delays": [0, 7], "until": [10]}, r"delays\[0\]=0.0 .* it repeats"),
        ({"delays": [5, 7], "until": [0]}, r"until\[0\]=0 .* more than 0 seconds"),
    ],
)
def test_tiers_that_cannot_be_are_refused(arguments: dict[str, Any], refusal: str) -> None:
    """The message names the item."""
    with pytest.raises(InvalidSetting, match=f"^{refusal}"):
        Backoff("schedule", **arguments)


def test_only_schedules_have_tiers_and_retries_have_none() -> None:
    """Other curves would ignore them; failed reads in a row are counted, not timed."""
    with pytest.raises(InvalidSetting, match=r"^until=\(1.0,\) .* constant curve ignores it"):
        Backoff("constant", 1, until=[1])
    with pytest.raises(InvalidSetting, match=r"^backoff=\(10.0,\) .* without until"):
        ErrorPolicy(Backoff("schedule", delays=[1, 2], until=[10]))


# Starting again


def test_progress_starts_the_cadence_again() -> None:
    """Delay 1 follows each reply that tells another progress; the first one told changes nothing."""
    told = {1: 0.1, 2: 0.1, 3: 0.4, 4: None, 5: 0.4, 6: "running"}
    policy = PollingPolicy(Backoff("exponential", 1), restart_on="progress")
    assert sent(policy, [0] * 7, progress=told) == [1, 3, 7, 8, 10, 14, 15]
    assert sent(PollingPolicy(Backoff("exponential", 1)), [0] * 4, progress=told) == [1, 3, 7, 15]


def test_starting_again_from_the_start_counts_beats_from_there() -> None:
    """The beats of 1, 2, 4 s are counted from the reply that told of the change."""
    policy = PollingPolicy(DOUBLING, anchor="start", restart_on="progress")
    assert sent(policy, [0.5] * 5, progress={1: 0, 2: 1, 3: 1}) == [1, 3, 4.5, 6.5, 10.5]


def test_starting_again_on_the_clock_keeps_the_clock() -> None:
    """The grid is fine again; it does not move, and no slot is polled twice."""
    policy = PollingPolicy(DOUBLING, anchor="clock", restart_on="progress")
    assert sent(policy, [0.25] * 5, progress={1: 0, 2: 1, 3: 1}) == [1, 2, 3, 4, 8]
    jittered = PollingPolicy(Backoff("constant", 10, jitter="full"), anchor="clock", restart_on="progress")
    draws = {1: 0.1, 2: 0.9, 3: 0.5, 4: 0.5}
    assert sent(jittered, [0.1] * 3, uniform=draws.__getitem__, progress={1: 0, 2: 1}) == [1, 19, 25]


def test_starting_again_starts_tiers_and_grown_jitter_again() -> None:
    """Time counts from there, and a decorrelated delay grows from the first one again."""
    tiers = PollingPolicy(Backoff("schedule", delays=[1, 4], until=[3]), restart_on="progress")
    assert sent(tiers, [0] * 7, progress={3: 0, 4: 1}) == [1, 2, 3, 7, 8, 9, 10]
    grown = PollingPolicy(Backoff("exponential", 1, jitter="decorrelated"), restart_on="progress")
    assert sent(grown, [0] * 4, progress={1: 0, 2: 0, 3: 1}) == [2, 5.5, 11.25, 13.25]


def test_budgets_and_the_deadline_do_not_start_again() -> None:
    """Progress is no reason to wait for longer than was said."""
    policy = PollingPolicy(TEN, restart_on="progress", deadline=25, max_attempts=9)
    assert sent(policy, [0] * 9, progress={n: n for n in range(9)}) == [10, 20, 25]


def test_another_word_for_the_state_is_progress_too() -> None:
    """Services without a number tell of it by their words: queued, then running; a code alone, nothing."""
    dialect = Dialect.of({"status": {"pending": ["queued", "running"], "not_ready": [409]}})
    policy = PollingPolicy(Backoff("exponential", 1), restart_on="progress")
    talk = Conversation(JobRef("7"), policy, lambda _n: 0.5, started_at=0.0, dialect=dialect)
    replies = [(200, "queued"), (200, "queued"), (409, "none"), (200, "running"), (200, "running")]
    times = []
    for code, word in replies:
        wait = talk.next(0.0)
        assert isinstance(wait, Wait)
        times.append(wait.until)
        talk.next(wait.until)
        talk.replied(wait.until, Response(code, {}, b'{"status": "%s"}' % word.encode(), "http://x/7", 0.0))
    assert times == [1, 3, 7, 15, 16]


# Any world


@given(
    anchor=st.sampled_from(["start", "clock"]),
    missed=st.sampled_from(["skip", "catch_up"]),
    curve=st.sampled_from([TEN, DOUBLING, Backoff("schedule", delays=[0, 3, 0.5]), Backoff("fibonacci", 2)]),
    jitter=st.sampled_from([name for name, each in JITTERS.items() if each.grows is None]),
    started=st.floats(0, 100),
    latencies=st.lists(st.floats(0, 30), min_size=2, max_size=12),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=13, max_size=13),
)
def test_no_poll_comes_early_and_no_slot_has_two(
    anchor: str,
    missed: Any,
    curve: Backoff,
    jitter: str,
    started: float,
    latencies: list[float],
    draws: list[float],
) -> None:
    """Whatever replies take: a poll follows the reply before it, and is never sent before its slot begins."""
    backoff = Backoff(curve.curve, curve.initial, maximum=curve.maximum, delays=curve.delays, jitter=jitter)
    policy = PollingPolicy(backoff, anchor=anchor, missed=missed)
    times = sent(policy, latencies, started=started, uniform=lambda n: draws[n - 1])
    for before, after, latency in zip(times, times[1:], latencies, strict=False):
        assert after >= before + latency - 1e-9
    if anchor == "start":
        for number, time in enumerate(times, start=1):
            assert time >= started + backoff.beats.end(number - 1) - 1e-9


@given(
    curve=st.sampled_from([TEN, DOUBLING, Backoff("linear", 0.3), Backoff("schedule", delays=[0, 3, 0.5])]),
    at=st.floats(0, 1e7),
)
def test_the_first_beat_from_a_time_on_is_the_first(curve: Backoff, at: float) -> None:
    """The answer is a beat that is not before the time, and the beat before it is."""
    found = curve.beats.first(at)
    assert curve.beats.end(found) >= at
    assert found == 0 or curve.beats.end(found - 1) < at


def test_every_anchor_says_what_it_is() -> None:
    """A setting is described with its anchor, but for the usual one."""
    described = {name: PollingPolicy(TEN, anchor=name).describe() for name in ANCHORS}
    assert described == {
        "reply": "constant: every 10 s, no jitter, first poll after the first delay, no deadline",
        "start": "constant: every 10 s, no jitter, counted from the start, "
        "first poll after the first delay, no deadline",
        "clock": "constant: every 10 s, no jitter, at multiples of it on the clock, "
        "first poll after the first delay, no deadline",
    }
    owing = PollingPolicy(TEN, anchor="start", missed="catch_up", restart_on="progress").describe()
    assert "counted from the start, missed polls made up for at once, starting again on progress, " in owing


DOCS = Path(__file__).parent.parent / "docs" / "client.md"
WORKED = re.findall(r"^\| (`anchor=.*?) \| ([0-9. |]+) \|$", DOCS.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("policy", "times"), WORKED, ids=[policy for policy, _ in WORKED])
def test_the_worked_table_of_the_documentation_is_right(policy: str, times: str) -> None:
    """Every row of it, by the poller itself: the start is 3 s past a multiple of 10 s on the clock."""
    arguments: dict[str, Any] = dict(re.findall(r'(\w+)="(\w+)"', policy))
    backoff = Backoff("constant", 10, jitter="full" if "full" in policy else "none")
    polls = sent(
        PollingPolicy(backoff, **arguments), [0.2, 25, *[0.2] * 4], epoch=-3, uniform=lambda _n: 0.25
    )
    assert polls == [float(each) for each in times.split("|")]


def test_the_worked_table_has_every_anchor() -> None:
    """None is left to be guessed."""
    assert {re.findall(r'anchor="(\w+)"', policy)[0] for policy, _ in WORKED} == set(ANCHORS)
