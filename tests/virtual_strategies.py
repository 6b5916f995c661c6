"""Settings, services and loads at random, for the tests that hold the twin's engines against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from client import ANCHORS, CURVES, JITTERS, Backoff, ErrorPolicy, HintPolicy, PollingPolicy
from harness.virtual import Overhead
from scenarios import FAULTS as FAULTS_BY_NAME

SECONDS = st.sampled_from([0.125, 0.25, 0.5, 1.0, 1.5, 3.0]) | st.floats(0.05, 5.0)


@st.composite
def backoffs(draw: st.DrawFn, *, timed: bool = False, grown: bool = True) -> Backoff:
    """Any law, decimal and binary fractions alike; ``timed`` ones too, and those that grow by themselves."""
    curve: Any = draw(st.sampled_from(list(CURVES)))
    kinds = [name for name, kind in JITTERS.items() if not kind.grows or (grown and curve == "exponential")]
    jitter: Any = draw(st.sampled_from(kinds))
    if curve == "schedule":
        until = sorted(set(draw(st.lists(SECONDS, max_size=3)))) if timed else []
        once = draw(st.lists(st.just(0.0) | SECONDS, max_size=3))
        tiers = draw(st.lists(SECONDS, min_size=len(until) + 1, max_size=len(until) + 1))
        maximum = draw(st.none() | st.floats(0.5, 3.0))
        return Backoff("schedule", delays=[*once, *tiers], until=until, jitter=jitter, maximum=maximum)
    initial = draw(SECONDS)
    maximum = draw(st.none() | st.floats(initial, 10.0))
    multiplier = draw(st.floats(1.0, 4.0)) if curve == "exponential" else 2.0
    return Backoff(curve, initial, multiplier=multiplier, maximum=maximum, jitter=jitter)


@st.composite
def policies(draw: st.DrawFn) -> PollingPolicy:
    """Any setting."""
    anchor = draw(st.sampled_from(list(ANCHORS)))
    beats = ANCHORS[anchor].beats
    return PollingPolicy(
        draw(backoffs(timed=True, grown=not beats)),
        anchor=anchor,
        missed=draw(st.sampled_from(["skip", "catch_up"])) if beats else "skip",
        restart_on=draw(st.sampled_from([None, "progress"])),
        first_poll=draw(st.sampled_from(["after_delay", "immediately"])),
        deadline=draw(st.none() | st.floats(0.5, 30.0)),
        max_attempts=draw(st.none() | st.integers(1, 12)),
        request_timeout=draw(st.sampled_from([0.3, 1.0, 10.0])),
        last_poll_timeout=draw(st.sampled_from([0.05, 1.0])),
        errors=ErrorPolicy(
            draw(backoffs()),
            max_consecutive=draw(st.integers(0, 4)),
            not_found_grace=draw(st.sampled_from([0.0, 2.0])),
        ),
        hints=HintPolicy(
            honour=draw(st.booleans()), maximum=draw(st.floats(0.5, 9.0)), spread=draw(st.floats(0.0, 1.0))
        ),
    )


LAWS = st.sampled_from(
    [
        {"type": "fixed", "value": "4s"},
        {"type": "uniform", "lower": 0.5, "upper": 8.0},
        {"type": "exponential", "mean": 3.0},
        {"type": "lognormal", "median": 3.0, "sigma": 0.8},
        {"type": "trace", "file": str(Path(__file__).with_name("whole_seconds.csv")), "column": "seconds"},
        {
            "type": "mixture",
            "of": [
                {"weight": 3, "type": "gamma", "shape": 2.0, "scale": 0.5},
                {"weight": 1, "type": "weibull", "shape": 1.5, "scale": 6.0},
            ],
        },
    ]
)
DELAYS = st.sampled_from(
    [
        None,
        "0s",
        "250ms",
        "1s",
        {"type": "exponential", "mean": 0.15},
        {"type": "uniform", "lower": 0, "upper": 0.6},
    ]
)
OWN_KEYS: dict[str, dict[str, Any]] = {"STALE_READ": {"age": "2s"}, "SLOW_DRIBBLE": {"duration": "700ms"}}
FAULTS = st.lists(
    st.sampled_from(
        [
            {"status": 503, "rate": 0.1, "retry_after": "1500ms"},
            {"status": 404, "rate": 0.1},
            {"status": 429, "rate": 0.05, "retry_after": "4s"},
            {"status": 403, "rate": 0.02},
            {"status": 409, "rate": 0.05, "retry_after": 0},
            *({"fault": name, "rate": 0.1} | OWN_KEYS.get(name, {}) for name in FAULTS_BY_NAME),
            {"fault": "STALE_READ", "rate": 0.1, "age": "300ms"},
        ]
    ),
    max_size=3,
)
OUTAGES = st.lists(
    st.builds(
        lambda start, length, hint: {"start": start, "length": length, "status": 503, "retry_after": hint},
        st.floats(0.0, 8.0),
        st.floats(0.5, 4.0),
        st.sampled_from([None, "2s"]),
    ),
    max_size=2,
)
ARRIVALS = st.sampled_from(
    [{"type": "constant", "rate": 8.0}, {"type": "poisson", "rate": 20.0}, {"type": "burst", "size": 30}]
)
SERVICES = st.fixed_dictionaries(
    {
        "delay": DELAYS,
        "faults": FAULTS,
        "outages": OUTAGES,
        "retry_after": st.sampled_from(["none", "eta", "2s"]),
        "retry_after_submit": st.sampled_from(["none", "eta", "2s", 0]),
        "visible_after": st.sampled_from([0, "700ms", "6s"]),
    }
)
PLAIN = st.fixed_dictionaries({"delay": st.sampled_from([None, "250ms"])})
STEPS = st.sampled_from([1, 2, 5, 1000])
OVERHEADS = st.just(Overhead()) | st.builds(
    Overhead, request_s=st.floats(0, 0.1), reply_s=st.floats(0, 0.1), wake_s=st.floats(0, 0.1)
)

LIMITS = st.builds(
    lambda kind, per: {**kind, "per": per},
    st.sampled_from(
        [
            {"rate": 7.3, "burst": 3},
            {"type": "fixed_window", "limit": 5, "window": "1300ms"},
            {"type": "sliding_window", "limit": 4, "window": "900ms", "headers": True},
        ]
    ),
    st.sampled_from(["service", "client", "job"]),
)
CAPACITIES = st.fixed_dictionaries(
    {
        "workers": st.integers(1, 3),
        "service_time": st.sampled_from([0.0317, {"type": "exponential", "mean": 0.08}]),
        "discipline": st.sampled_from(["fifo", "ps"]),
        "shared": st.booleans(),
    }
)
TOUCHING_ARRIVALS = st.sampled_from(
    [{"type": "poisson", "rate": 9.0}, {"type": "closed", "think": {"type": "exponential", "mean": 0.4}}]
)


@st.composite
def touching_services(draw: st.DrawFn) -> tuple[dict[str, Any], int | None]:
    """Any service whose jobs touch each other, or not, and how many slots it has.

    No delay is a multiple of a client's patience or of another delay, so that nothing happens twice at one
    time: the order of such events is a matter of rounding.
    """
    service = draw(SERVICES)
    service["delay"] = draw(st.sampled_from([None, 0.0171, {"type": "exponential", "mean": 0.15}]))
    service["rate_limit"] = draw(st.none() | LIMITS)
    service["capacity"] = draw(st.none() | CAPACITIES)
    shared = service["capacity"] is not None and service["capacity"]["shared"]
    return service, None if shared else draw(st.sampled_from([None, 1, 4]))


def out_of_step(policy: PollingPolicy) -> bool:
    """Say whether clients with this setting come at times of their own, not at one time of the clock."""
    return policy.anchor != "clock" or policy.cadence.jitter in ("full", "equal")
