"""The backoff laws: exact values, bounds, and refusals that say what would be right."""

from __future__ import annotations

import math
import pickle
import sys
from dataclasses import FrozenInstanceError
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import CURVES as CURVE_TABLE
from client import JITTERS, Backoff, InvalidSetting, curve_parameters, is_retryable, parameters

LONGEST = sys.float_info.max
HALF_TO_TEN = Backoff("exponential", 0.5, multiplier=2, maximum=10)
CURVES = {
    "constant": Backoff("constant", 2),
    "linear": Backoff("linear", 2, increment=0.5),
    "exponential": Backoff("exponential", 2, multiplier=1.5),
    "fibonacci": Backoff("fibonacci", 2),
    "schedule": Backoff("schedule", delays=[3, 1, 2]),
}

attempts = st.one_of(st.integers(1, 60), st.integers(1, 10**12))
draws = st.floats(0, 1, exclude_max=True)
lengths = st.floats(1e-3, 1e6)


@st.composite
def backoffs(draw: st.DrawFn) -> Backoff:
    """Any law that the constructor accepts."""
    curve = draw(st.sampled_from(list(CURVE_TABLE)))
    plain = [name for name, jitter in JITTERS.items() if not jitter.grows]
    arguments: dict[str, Any] = {"jitter": draw(st.sampled_from(plain))}
    if curve == "schedule":
        arguments["delays"] = [*draw(st.lists(st.floats(0, 100), max_size=4)), draw(lengths)]
        arguments["maximum"] = draw(st.none() | lengths)
    else:
        arguments["initial"] = draw(lengths)
        arguments["maximum"] = draw(st.none() | st.floats(arguments["initial"], 1e9))
    if curve == "linear":
        arguments["increment"] = draw(st.none() | st.floats(0, 1e6))
    if curve == "exponential":
        arguments["multiplier"] = draw(st.floats(1, 100))
        arguments["jitter"] = draw(st.sampled_from(list(JITTERS)))
    return Backoff(curve, **arguments)  # type: ignore[arg-type] # one of the five


def delays(backoff: Backoff, count: int, u: float) -> list[float]:
    """The first delays when every draw is u."""
    found: list[float] = []
    for attempt in range(1, count + 1):
        found.append(backoff.delay(attempt, found[-1] if found else None, u))
    return found


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ("constant", [2, 2, 2, 2, 2]),
        ("linear", [2, 2.5, 3, 3.5, 4]),
        ("exponential", [2, 3, 4.5, 6.75, 10.125]),
        ("fibonacci", [2, 2, 4, 6, 10]),
        ("schedule", [3, 1, 2, 2, 2]),
    ],
)
def test_each_curve_has_its_ceilings(curve: str, expected: list[float]) -> None:
    """Delay k has the ceiling that the curve's formula gives it, for k from 1."""
    assert [CURVES[curve].ceiling(attempt) for attempt in range(1, 6)] == expected


def test_a_linear_curve_grows_by_its_initial_delay_unless_told_otherwise() -> None:
    """An unset increment is the initial delay; an increment of zero is zero."""
    assert [Backoff("linear", 2).ceiling(k) for k in (1, 2, 3)] == [2, 4, 6]
    assert [Backoff("linear", 2, increment=0).ceiling(k) for k in (1, 2, 3)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("jitter", "u", "expected"),
    [
        ("none", 0.25, [0.5, 1, 2, 4, 8, 10, 10]),
        ("full", 0.25, [0.125, 0.25, 0.5, 1, 2, 2.5, 2.5]),
        ("equal", 0.25, [0.3125, 0.625, 1.25, 2.5, 5, 6.25, 6.25]),
        ("decorrelated", 0.5, [1, 1.75, 2.875, 4.5625, 7.09375, 10, 10]),
        ("half-around", 0.75, [0.625, 1.25, 2.5, 5, 10, 12.5, 12.5]),
        ("tenth-more", 0.5, [0.525, 1.05, 2.1, 4.2, 8.4, 10.5, 10.5]),
        ("second-more", 0.5, [1, 1.5, 2.5, 4.5, 8.5, 10, 10]),
        ("above-first", 0.5, [0.5, 0.75, 1.25, 2.25, 4.25, 5.25, 5.25]),
    ],
)
def test_the_worked_table_of_the_documentation_holds(jitter: str, u: float, expected: list[float]) -> None:
    """The delays of the module's table are those that the code computes."""
    backoff = Backoff("exponential", 0.5, multiplier=2, maximum=10, jitter=jitter)  # type: ignore[arg-type] # parametrised
    assert delays(backoff, 7, u) == expected


def test_decorrelated_jitter_starts_from_the_initial_delay() -> None:
    """Without a previous delay the draw is uniform between initial and three times initial."""
    backoff = Backoff("exponential", 2, jitter="decorrelated")
    assert [backoff.delay(1, None, u) for u in (0.0, 0.5, 1.0)] == [2, 4, 6]


def test_jitter_above_the_first_ceiling_never_goes_below_it() -> None:
    """Not even where the curve stands at the largest float; a schedule that falls keeps its delays."""
    backoff = Backoff("exponential", 2, jitter="above-first")
    assert [backoff.delay(k, None, 0.0) for k in (1, 50, 10**9)] == [2, 2, 2]
    assert Backoff("schedule", delays=[4, 3, 5], jitter="above-first").delay(2, None, 0.5) == 3


def test_only_decorrelated_jitter_looks_at_the_previous_delay() -> None:
    """For every other jitter, the previous delay makes no difference."""
    for jitter in (name for name, jitter in JITTERS.items() if not jitter.grows):
        backoff = Backoff("exponential", 1, jitter=jitter)
        assert backoff.delay(4, None, 0.3) == backoff.delay(4, 999.0, 0.3)


@settings(deadline=None)  # a busy machine is no broken law
@given(backoffs(), attempts)
def test_a_ceiling_is_finite_positive_and_capped(backoff: Backoff, attempt: int) -> None:
    """No attempt number overflows, and none passes the maximum."""
    ceiling = backoff.ceiling(attempt)
    assert 0 <= ceiling <= (LONGEST if backoff.maximum is None else backoff.maximum)


@settings(deadline=None)  # a busy machine is no broken law
@given(backoffs(), attempts)
def test_a_curve_never_falls(backoff: Backoff, attempt: int) -> None:
    """Every curve but a schedule is non-decreasing in the attempt."""
    if backoff.curve != "schedule":
        assert backoff.ceiling(attempt) <= backoff.ceiling(attempt + 1)


@settings(deadline=None)  # a busy machine is no broken law
@given(backoffs(), attempts, draws, st.none() | st.floats(0, LONGEST))
def test_a_delay_stays_within_the_bounds_of_its_jitter(
    backoff: Backoff, attempt: int, u: float, previous: float | None
) -> None:
    """Each jitter keeps to the range that the documentation gives it, and no delay is infinite."""
    delay = backoff.delay(attempt, previous, u)
    ceiling = backoff.ceiling(attempt)
    cap = LONGEST if backoff.maximum is None else backoff.maximum
    initial = backoff.initial or 0.0
    first = min(ceiling, backoff.ceiling(1))
    low, high = {
        "none": (ceiling, ceiling),
        "full": (0.0, ceiling),
        "equal": (ceiling / 2, ceiling),
        "decorrelated": (
            min(cap, initial),
            min(cap, max(initial, 3 * (initial if previous is None else previous)) * (1 + 1e-12)),
        ),
        "half-around": (ceiling / 2, min(LONGEST, ceiling * 1.5 * (1 + 1e-12))),
        "tenth-more": (ceiling, min(LONGEST, ceiling * 1.1 * (1 + 1e-12))),
        "second-more": (ceiling, min(cap, ceiling + 1)),
        "above-first": (first, ceiling * (1 + 1e-12)),
    }[backoff.jitter]
    assert low <= delay <= high
    assert math.isfinite(delay)


@settings(deadline=None)  # a busy machine is no broken law
@given(backoffs(), attempts, st.none() | st.floats(0, LONGEST), st.tuples(draws, draws))
def test_a_delay_does_not_fall_as_the_draw_rises(
    backoff: Backoff, attempt: int, previous: float | None, two: tuple[float, float]
) -> None:
    """A delay is a non-decreasing function of u, as a quantile function is."""
    assert backoff.delay(attempt, previous, min(two)) <= backoff.delay(attempt, previous, max(two))


def test_the_fibonacci_curve_is_exact_until_a_float_cannot_hold_it() -> None:
    """F(78) is the last below 2**53; F(1476) the last that fits a float; beyond, the curve saturates."""
    backoff = Backoff("fibonacci", 1)
    numbers = [a for a, _ in accumulate(range(1476), lambda pair, _: (pair[1], sum(pair)), initial=(1, 1))]
    assert [backoff.ceiling(k) for k in (1, 2, 78, 1476)] == [float(numbers[k - 1]) for k in (1, 2, 78, 1476)]
    assert backoff.ceiling(1477) == LONGEST


@pytest.mark.parametrize("curve", ["exponential", "fibonacci"])
def test_a_fast_curve_without_a_cap_saturates_at_the_largest_float(curve: str) -> None:
    """Attempt 10**9 is a finite wait: for ever, not an error."""
    assert CURVES[curve].ceiling(10**9) == LONGEST
    assert math.isfinite(delays(Backoff("exponential", 1e300, jitter="decorrelated"), 60, 0.99)[-1])


def test_durations_may_be_timedeltas_and_are_stored_as_seconds() -> None:
    """A timedelta means the same law as its seconds."""
    assert Backoff(
        "linear", timedelta(milliseconds=500), increment=timedelta(0), maximum=timedelta(minutes=1)
    ) == (Backoff("linear", 0.5, increment=0.0, maximum=60.0))
    assert Backoff("schedule", delays=[timedelta(seconds=1), 2]).delays == (1.0, 2.0)


def test_a_law_is_a_value() -> None:
    """It is frozen, hashable, comparable, and survives pickling."""
    assert pickle.loads(pickle.dumps(HALF_TO_TEN)) == HALF_TO_TEN  # noqa: S301 -- our own bytes
    assert len({HALF_TO_TEN, Backoff("exponential", 0.5, maximum=10)}) == 1
    with pytest.raises(FrozenInstanceError):
        HALF_TO_TEN.initial = 1.0  # type: ignore[misc] # the point of the test


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"curve": "expnential", "initial": 1}, "curve='expnential' .* 'exponential'"),
        ({"curve": "constant"}, "initial=None .* needs its first delay"),
        ({"curve": "constant", "initial": 0}, "initial=0 .* more than 0 seconds"),
        ({"curve": "constant", "initial": -1}, "initial=-1 "),
        ({"curve": "constant", "initial": math.nan}, "initial=nan "),
        ({"curve": "constant", "initial": math.inf}, "initial=inf "),
        ({"curve": "constant", "initial": True}, "initial=True "),
        ({"curve": "constant", "initial": "5s"}, "initial='5s' .* a number or a timedelta"),
        ({"curve": "constant", "initial": timedelta(0)}, r"initial=datetime.timedelta\(0\) .* more than 0"),
        ({"curve": "exponential", "initial": 1, "multiplier": 0.5}, "multiplier=0.5 .* at least 1"),
        ({"curve": "exponential", "initial": 1, "multiplier": math.inf}, "multiplier=inf "),
        ({"curve": "exponential", "initial": 2, "maximum": 1}, "maximum=1.0 .* at least initial=2.0"),
        ({"curve": "exponential", "initial": 1, "maximum": 0}, "maximum=0 "),
        (
            {"curve": "exponential", "initial": 1, "increment": 1},
            "increment=1.0 .* exponential curve ignores it",
        ),
        (
            {"curve": "exponential", "initial": 1, "delays": [1]},
            r"delays=\(1.0,\) .* exponential curve ignores it",
        ),
        ({"curve": "constant", "initial": 1, "multiplier": 3}, "multiplier=3.0 .* constant curve ignores it"),
        ({"curve": "linear", "initial": 1, "increment": -1}, "increment=-1 .* 0 or more"),
        ({"curve": "schedule"}, r"delays=\(\) .* at least one"),
        ({"curve": "schedule", "delays": [1, 0]}, r"delays=\(1.0, 0.0\) .* it repeats"),
        ({"curve": "schedule", "delays": [1, -2]}, r"delays\[1\]=-2 "),
        ({"curve": "schedule", "delays": [1], "initial": 1}, "initial=1.0 .* schedule curve ignores it"),
        ({"curve": "constant", "initial": 1, "jitter": "ful"}, "jitter='ful' .* 'full'"),
        (
            {"curve": "linear", "initial": 1, "jitter": "decorrelated"},
            "jitter='decorrelated' .* give curve='exponential'",
        ),
    ],
)
def test_a_refusal_names_field_value_and_remedy(arguments: dict[str, object], message: str) -> None:
    """What cannot be used is refused at once, in words that say what would be right."""
    with pytest.raises(ValueError, match=message):
        Backoff(**arguments)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize(("attempt", "u"), [(0, 0.5), (-1, 0.5), (1, -0.1), (1, 1.1), (1, math.nan)])
def test_a_delay_outside_the_law_is_refused(attempt: int, u: float) -> None:
    """Attempts are numbered from 1 and draws lie in [0, 1)."""
    with pytest.raises(ValueError, match="cannot be used"):
        HALF_TO_TEN.delay(attempt, None, u)


@pytest.mark.parametrize(
    ("backoff", "english"),
    [
        (HALF_TO_TEN, "exponential: 0.5 s doubling to at most 10 s, no jitter"),
        (
            Backoff("exponential", 1, multiplier=1.5),
            "exponential: 1 s growing 1.5-fold without a cap, no jitter",
        ),
        (
            Backoff("exponential", 1, maximum=9, jitter="decorrelated"),
            "exponential: 1 s growing up to 3 times the previous delay to at most 9 s, decorrelated jitter",
        ),
        (Backoff("constant", 1, jitter="equal"), "constant: every 1 s, equal jitter"),
        (Backoff("linear", 1, maximum=5), "linear: 1 s growing by 1 s to at most 5 s, no jitter"),
        (
            Backoff("fibonacci", 1, maximum=5),
            "fibonacci: 1 s growing by Fibonacci numbers to at most 5 s, no jitter",
        ),
        (Backoff("schedule", delays=[1, 2]), "schedule: 1 s, then every 2 s, no jitter"),
        (Backoff("schedule", delays=[2]), "schedule: every 2 s, no jitter"),
        (
            Backoff("schedule", delays=[1] * 7, maximum=3),
            "schedule: 1 s, 1 s, 1 s, ... (3 more), then every 1 s, at most 3 s, no jitter",
        ),
    ],
)
def test_a_law_describes_itself(backoff: Backoff, english: str) -> None:
    """Reports quote the law in English."""
    assert backoff.describe() == english


def test_the_table_of_the_documentation_is_the_tested_one() -> None:
    """docs/client.md prints the very numbers that the law gives, row by row."""
    text = (Path(__file__).resolve().parent.parent / "docs" / "client.md").read_text()
    table = text.split("| attempt |")[1].split("\n\n")[0].splitlines()[2:]
    for row in table:
        name, *cells = [cell.strip() for cell in row.strip("|").split("|")]
        jitter, _, u = name.partition(", u = ")
        backoff = Backoff("exponential", 0.5, multiplier=2, maximum=10, jitter=jitter)  # type: ignore[arg-type] # a cell
        assert delays(backoff, 7, float(u or 0)) == [float(cell) for cell in cells]
    assert len(table) == len(JITTERS)


DOCS = (Path(__file__).resolve().parent.parent / "docs" / "client.md").read_text()


def first_cells(header: str) -> list[str]:
    """The first cells of the rows of a table of docs/client.md."""
    rows = DOCS.split(header)[1].split("\n\n")[0].splitlines()[2:]
    return [row.split("|")[1].strip(" `") for row in rows]


def test_the_documentation_lists_the_curves_and_jitters_of_the_tables() -> None:
    """A new row of CURVES or JITTERS has a row in docs/client.md, in the same order."""
    assert first_cells("| curve | ceiling of delay k | parameters |") == list(CURVE_TABLE)
    assert first_cells("| jitter | delay | range |") == list(JITTERS)


def test_a_law_has_the_parameters_of_every_curve() -> None:
    """Each parameter of a curve's class is one of Backoff's, and no parameter of Backoff is nobody's."""
    shared = {"curve", "maximum", "jitter"}
    theirs = {name for curve in CURVE_TABLE for name in curve_parameters(curve)}
    assert {each.name for each in parameters(Backoff)} == theirs | shared
    assert not theirs & shared


@pytest.mark.parametrize("name", list(JITTERS))
@given(st.lists(st.tuples(lengths, lengths, draws), min_size=1))
def test_jitter_is_the_same_for_floats_and_arrays(name: str, jobs: list[tuple[float, float, float]]) -> None:
    """One expression serves the client and the simulation, to the last bit."""
    draw = JITTERS[name].draw
    ceilings, previous, u = (np.array(column) for column in zip(*jobs, strict=True))
    assert draw(ceilings, previous, u).tolist() == [draw(*job) for job in jobs]


@pytest.mark.parametrize("name", [name for name, jitter in JITTERS.items() if not jitter.random])
def test_jitter_that_is_not_random_ignores_the_draw(name: str) -> None:
    """The simulation need not draw for it."""
    assert JITTERS[name].draw(3.0, 1.0, 0.1) == JITTERS[name].draw(3.0, 1.0, 0.9)


def test_a_refusal_carries_field_index_value_and_remedy() -> None:
    """Whoever shows it elsewhere (at a line of YAML) reads fields, not its message."""
    with pytest.raises(InvalidSetting) as refused:
        Backoff("schedule", delays=[1, -2])
    for error in (refused.value, pickle.loads(pickle.dumps(refused.value))):  # noqa: S301 -- our own bytes
        assert (error.field, error.index, error.value) == ("delays", 1, -2)
        assert error.remedy == "give 0 or more seconds, as a number or a timedelta"
        assert str(error) == f"delays[1]=-2 cannot be used: {error.remedy}"
    with pytest.raises(InvalidSetting) as whole:
        Backoff("linear", 1, increment=-1)
    assert (whole.value.field, whole.value.index) == ("increment", None)


def test_which_failed_reads_are_worth_another_try() -> None:
    """Every 4xx but 408, 425 and 429 is ours to mend, unless it says when to come back; the rest may mend."""
    assert [code for code in range(100, 600) if not is_retryable(code)] == [
        code for code in range(400, 500) if code not in (408, 425, 429)
    ]
    assert is_retryable(None)
    assert is_retryable(409, hinted=True)
