"""The policies: validation, hints, the description of a setting, and the presets against their sources."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import PRESETS, Backoff, ErrorPolicy, HintPolicy, PollingPolicy

EVERY_SECOND = Backoff("constant", 1)


def test_the_defaults_are_those_that_the_documentation_states() -> None:
    """An unset field has the documented value; no deadline and no limit are None, not zero."""
    policy = PollingPolicy(EVERY_SECOND)
    assert (policy.first_poll, policy.deadline, policy.max_attempts) == ("after_delay", None, None)
    assert (policy.request_timeout, policy.last_poll_timeout) == (10.0, 1.0)
    assert policy.errors.backoff == Backoff("exponential", 1, multiplier=2, maximum=20, jitter="full")
    assert (policy.errors.max_consecutive, policy.errors.not_found_grace) == (10, 5.0)
    assert (policy.hints.honour, policy.hints.maximum, policy.hints.spread) == (True, 60.0, 0.1)


def test_a_policy_is_a_value() -> None:
    """It can be compared, hashed, pickled, and replaced in part, with timedeltas as seconds."""
    policy = PollingPolicy(EVERY_SECOND, deadline=timedelta(minutes=1))
    assert policy.deadline == 60.0
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 -- our own bytes
    assert len({policy, PollingPolicy(EVERY_SECOND, deadline=60)}) == 1
    assert replace(policy, deadline=None) == PollingPolicy(EVERY_SECOND)


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("cadence", {"curve": "constant"}, "give a Backoff"),
        ("first_poll", "now", "'after_delay', 'immediately'"),
        ("deadline", 0, "more than 0 seconds"),
        ("deadline", -1, "more than 0 seconds"),
        ("deadline", math.inf, "more than 0 seconds"),
        ("max_attempts", 0, "whole number of at least 1"),
        ("max_attempts", 2.5, "whole number of at least 1"),
        ("max_attempts", True, "whole number of at least 1"),
        ("request_timeout", None, "more than 0 seconds"),
        ("last_poll_timeout", "1s", "a number or a timedelta"),
        ("errors", None, "give a ErrorPolicy"),
        ("hints", 60, "give a HintPolicy"),
    ],
)
def test_a_policy_refuses_what_cannot_be(field: str, value: object, remedy: str) -> None:
    """The message names the field, the value and what would be right."""
    arguments = {"cadence": EVERY_SECOND, field: value}
    with pytest.raises(ValueError, match=f"^{field}=") as refusal:
        PollingPolicy(**arguments)  # type: ignore[arg-type] # wrong on purpose
    assert repr(value) in str(refusal.value)
    assert remedy in str(refusal.value)


def test_the_smaller_policies_refuse_too() -> None:
    """A negative budget or grace, a spread above 1 and a truth value that is none are refused by name."""
    refusals: list[tuple[Callable[[], object], str]] = [
        (lambda: ErrorPolicy(max_consecutive=-1), "max_consecutive=-1"),
        (lambda: ErrorPolicy(not_found_grace=-1), "not_found_grace=-1"),
        (lambda: ErrorPolicy("constant"), "backoff='constant'"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: HintPolicy(spread=1.5), "spread=1.5"),
        (lambda: HintPolicy(maximum=0), "maximum=0"),
        (lambda: HintPolicy(honour=1), "honour=1"),  # type: ignore[arg-type] # wrong on purpose
    ]
    for build, field in refusals:
        with pytest.raises(ValueError, match=f"^{field} cannot be used"):
            build()


@settings(deadline=None)  # a busy machine is no broken law
@given(
    wait=st.floats(0, 1e6),
    hint=st.none() | st.floats(allow_nan=True),
    u=st.floats(0, 1),
    cap=st.floats(0.1, 1e6),
)
def test_a_hint_only_lengthens_and_is_capped(wait: float, hint: float | None, u: float, cap: float) -> None:
    """Whatever a server says, the wait is the client's own or longer, and at most the cap and spread."""
    lengthened = HintPolicy(maximum=cap, spread=0.1).lengthen(wait, hint, u)
    assert wait <= lengthened <= max(wait, cap * 1.1)


@pytest.mark.parametrize(
    ("hint", "u", "expected"),
    [
        (None, 0.5, 2),
        (0.0, 0.5, 2),
        (-5.0, 0.5, 2),
        (1.0, 0.5, 2),
        (4.0, 0.0, 4),
        (4.0, 0.5, 4.2),
        (1e9, 0.5, 63),
    ],
)
def test_a_hint_lengthens_by_the_formula(hint: float | None, u: float, expected: float) -> None:
    """Wait = max(own wait, min(hint, maximum) * (1 + spread * u)): never before the hinted time."""
    assert HintPolicy().lengthen(2.0, hint, u) == pytest.approx(expected, rel=1e-12)


def test_hints_can_be_ignored() -> None:
    """honour=False leaves every wait as it is."""
    assert HintPolicy(honour=False).lengthen(2.0, 30.0, 0.5) == 2.0


@pytest.mark.parametrize(
    ("policy", "english"),
    [
        (
            PollingPolicy(Backoff("exponential", 0.5, maximum=10, jitter="full"), deadline=60),
            "exponential: 0.5 s doubling to at most 10 s, full jitter, first poll after the first delay, "
            "deadline 60 s",
        ),
        (
            PollingPolicy(EVERY_SECOND, first_poll="immediately", max_attempts=1),
            "constant: every 1 s, no jitter, first poll at once, no deadline, gives up after 1 pending poll",
        ),
        (
            PollingPolicy(
                EVERY_SECOND,
                request_timeout=3,
                last_poll_timeout=2,
                errors=ErrorPolicy(EVERY_SECOND, max_consecutive=2, not_found_grace=0),
                hints=HintPolicy(maximum=5),
            ),
            "constant: every 1 s, no jitter, first poll after the first delay, no deadline, "
            "request timeout 3 s, last poll timeout 2 s, failed reads retried 2 times in a row, "
            "after failed reads constant: every 1 s, no jitter, 404 retried for 0 s, "
            "Retry-After up to 5 s plus 10% spread",
        ),
        (
            PollingPolicy(EVERY_SECOND, hints=HintPolicy(honour=False)),
            "constant: every 1 s, no jitter, first poll after the first delay, no deadline, "
            "Retry-After ignored",
        ),
    ],
)
def test_a_setting_describes_itself_in_one_line(policy: PollingPolicy, english: str) -> None:
    """Every difference between two settings can be read in their descriptions."""
    assert policy.describe() == english


def test_the_google_preset_is_what_google_api_core_ships() -> None:
    """google/api_core/future/polling.py: 1 s growing 1.5-fold to 20 s, jitter, 900 s, first poll at once."""
    preset = PRESETS["google-api-core-lro"]
    assert (preset.cadence.curve, preset.cadence.jitter) == ("exponential", "full")
    assert (preset.cadence.initial, preset.cadence.multiplier, preset.cadence.maximum) == (1.0, 1.5, 20.0)
    assert (preset.first_poll, preset.deadline, preset.max_attempts) == ("immediately", 900.0, None)


def test_the_google_preset_sleeps_as_their_generator_does() -> None:
    """Their loop (delay = min(delay * multiplier, maximum), uniform(0, delay)) gives the same sleeps."""
    cadence, delay = PRESETS["google-api-core-lro"].cadence, 1.0
    for attempt in range(1, 30):
        assert cadence.delay(attempt, None, 0.75) == pytest.approx(0.75 * delay)
        delay = min(delay * 1.5, 20.0)


def test_presets_cannot_be_changed() -> None:
    """The mapping is shared by everyone, so it is read-only."""
    with pytest.raises(TypeError):
        PRESETS["mine"] = PollingPolicy(EVERY_SECOND)  # type: ignore[index] # the point of the test
