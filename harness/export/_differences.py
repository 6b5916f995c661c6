"""What a form cannot express, and the nearest setting that it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from client import Backoff, ErrorPolicy, HintPolicy, PollingPolicy, parameters
from harness.export._forms import Form
from harness.export._law import mean_delay

# What is read here and in the templates; a field that the client gains later is refused until it is, too.
_KNOWN: Final = {
    Backoff: {"curve", "initial", "multiplier", "increment", "maximum", "jitter", "delays", "until"},
    HintPolicy: {"honour", "maximum", "spread"},
    ErrorPolicy: {"backoff", "max_consecutive", "not_found_grace"},
    PollingPolicy: {
        "cadence",
        "first_poll",
        "deadline",
        "max_attempts",
        "request_timeout",
        "last_poll_timeout",
        "errors",
        "hints",
    },
}
_Part = tuple[
    Callable[[PollingPolicy], Any], str, Callable[[PollingPolicy, Any], PollingPolicy]
]  # how to read a part, the prefix of its keys, how to put another in its place
_PARTS: Final[tuple[_Part, ...]] = (
    (lambda policy: policy, "", lambda _policy, part: part),
    (lambda policy: policy.cadence, "", lambda policy, part: replace(policy, cadence=part)),
    (lambda policy: policy.hints, "hints.", lambda policy, part: replace(policy, hints=part)),
    (lambda policy: policy.errors, "on_error.", lambda policy, part: replace(policy, errors=part)),
    (
        lambda policy: policy.errors.backoff,
        "on_error.",
        lambda policy, part: replace(policy, errors=replace(policy.errors, backoff=part)),
    ),
)
_WHY: Final = {
    "anchor": "each wait is counted from the reply before it",
    "missed": "there are no beats to miss",
    "restart_on": "it knows nothing of a job's progress",
}
_SHARES: Final = {"none": 1.0, "full": 0.5, "equal": 0.75, "half-around": 1.0, "tenth-more": 1.05}
_GOLDEN: Final = 1.618  # successive Fibonacci numbers grow by it
_ANY_HINT: Final = HintPolicy(maximum=86_400.0, spread=0.0)  # "whatever it says", within our cap of a day
_MOST_MEANS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the form does otherwise: which key of the setting, why, and what comes nearest."""

    key: str
    why: str
    nearest: str


def adapt(
    policy: PollingPolicy, form: Form, typical_s: float | None = None
) -> tuple[PollingPolicy, list[Difference]]:
    """Return the nearest policy that the form can express, and how it differs: not at all, if it can.

    typical_s: how long a job takes, in seconds: where the form waits a constant time only, that is the mean
    wait of the setting over such a job.
    """
    found: list[Difference] = []
    for step in (_unknown, _curve, _jitter, _first_poll, _deadline, _attempts, _hints, _errors):
        for changed, difference in step(policy, form, typical_s):
            policy = changed
            found.append(difference)
    return policy, found


_Steps = Iterator[tuple[PollingPolicy, Difference]]


def _unknown(policy: PollingPolicy, form: Form, _typical_s: float | None) -> _Steps:
    """Refuse whatever of a policy no template knows, unless it is left at its default."""
    if form.data:
        return
    for owner, place, put in _PARTS:
        part = owner(policy)
        unknown = {
            each.name: each.default
            for each in parameters(type(part))
            if each.name not in _KNOWN[type(part)] and getattr(part, each.name) != each.default
        }
        if unknown:
            policy = put(policy, replace(part, **unknown))
            for name in unknown:
                why = _WHY.get(name, "no code can express it yet")
                yield policy, Difference(f"{place}{name}", why, f"without {name}")


def _curve(policy: PollingPolicy, form: Form, typical_s: float | None) -> _Steps:
    law = policy.cadence
    if law.jitter == "decorrelated" and "decorrelated" not in form.jitters:
        return  # it has no curve of its own; see the jitter
    if law.curve in form.curves and (form.tiers or not law.until):
        return
    if law.curve == "fibonacci" and "exponential" in form.curves:
        nearest = Backoff(
            "exponential", law.initial, multiplier=_GOLDEN, maximum=law.maximum, jitter=law.jitter
        )
        said = f"exponential, growing {_GOLDEN:g}-fold"
    else:
        # Its jitter is the next step's matter, so the ceiling is such that the mean is right under it.
        mean, jitter = _mean_wait(law, typical_s), law.jitter if law.jitter in _SHARES else "none"
        nearest = Backoff("constant", _rounded(mean / _SHARES[jitter]), jitter=jitter)
        over = "its longest" if typical_s is None else f"its mean over a job of {typical_s:g} s"
        said = f"constant, with a mean wait of {_rounded(mean):g} s: {over}"
    why = f"waits are {' and '.join(sorted(form.curves))} only"
    if law.curve in form.curves:
        why = "it does not know how long it has been polling"
    yield replace(policy, cadence=nearest), Difference("curve", why, said)


def _mean_wait(law: Backoff, typical_s: float | None) -> float:
    """Return the mean wait over a job of so many seconds; where that is unknown, the mean of the longest."""
    if typical_s is None:
        longest = law.maximum or (law.delays[-1] if law.delays else law.initial) or 0.0
        return longest * _SHARES.get(law.jitter, 1.0)
    waited, k, previous = 0.0, 0, None
    while waited < typical_s and k < _MOST_MEANS:
        k += 1
        previous = mean_delay(law, k, previous, waited)
        waited += previous
    return max(waited, 1e-3) / max(k, 1)


def _rounded(seconds: float) -> float:
    """Return seconds to three digits."""
    return float(f"{seconds:.3g}")


def _jitter(policy: PollingPolicy, form: Form, typical_s: float | None) -> _Steps:
    law = policy.cadence
    if law.jitter in form.jitters:
        return
    jitter = "none" if "none" in form.jitters else min(form.jitters)
    known = " or ".join(sorted(form.jitters))
    if law.jitter == "decorrelated":
        mean = _mean_wait(law, typical_s)
        if "exponential" in form.curves:
            nearest = Backoff("exponential", law.initial, multiplier=2.0, maximum=law.maximum, jitter="full")
            said = "exponential, doubling, with full jitter: the mean of either grows alike"
            if "full" not in form.jitters:
                nearest = replace(nearest, jitter="none")
                said = "exponential, doubling, without jitter"
        else:
            nearest, said = (
                Backoff("constant", _rounded(mean)),
                f"constant: every {_rounded(mean):g} s, its mean",
            )
    else:
        scale = _SHARES.get(law.jitter, 1.0) / _SHARES[jitter]
        nearest = _scaled(law, scale, jitter)
        said = f"{jitter} jitter"
        if scale != 1:
            said += f", with ceilings times {scale:g}: the same mean waits"
    yield replace(policy, cadence=nearest), Difference("jitter", f"jitter is {known} only", said)


def _scaled(law: Backoff, scale: float, jitter: str) -> Backoff:
    def times(seconds: float | None) -> float | None:
        return None if seconds is None else seconds * scale

    return replace(
        law,
        initial=times(law.initial),
        increment=times(law.increment),
        maximum=times(law.maximum),
        delays=tuple(each * scale for each in law.delays),
        jitter=jitter,
    )


def _first_poll(policy: PollingPolicy, form: Form, _typical_s: float | None) -> _Steps:
    if policy.first_poll == "after_delay" and not form.waits_first:
        yield (
            replace(policy, first_poll="immediately"),
            Difference("first_poll", "the first poll always comes at once", "first_poll: immediately"),
        )


def _deadline(policy: PollingPolicy, form: Form, _typical_s: float | None) -> _Steps:
    if policy.deadline is None or form.deadline != "none":
        return
    changed, said = replace(policy, deadline=None), "without a deadline"
    if form.attempts:
        polls = _polls_within(policy, policy.deadline)
        if policy.max_attempts is not None:
            polls = min(polls, policy.max_attempts)
        changed, said = replace(changed, max_attempts=polls), f"{polls} polls, as its mean waits allow"
    yield changed, Difference("deadline", "it has no deadline", said)


def _polls_within(policy: PollingPolicy, deadline: float) -> int:
    """Return how many polls the mean waits leave room for, that at the deadline included."""
    law, waited, k, previous = policy.cadence, 0.0, 0, None
    while k < _MOST_MEANS:
        previous = mean_delay(law, k + 1, previous, waited)
        if waited + previous > deadline:
            break
        waited += previous
        k += 1
    return max(1, k + (policy.first_poll == "immediately"))


def _attempts(policy: PollingPolicy, form: Form, _typical_s: float | None) -> _Steps:
    if policy.max_attempts is not None and not form.attempts:
        yield (
            replace(policy, max_attempts=None),
            Difference("max_attempts", "it does not count polls", "without a limit of polls"),
        )


def _hints(policy: PollingPolicy, form: Form, _typical_s: float | None) -> _Steps:
    """Refuse hints that were asked for; what is left at its default is a note, not a difference."""
    hints, can = policy.hints, form.hints
    if "lengthen" in can or hints == HintPolicy():
        return
    if hints.honour and "replace" in can and hints != _ANY_HINT:
        why, nearest = "a Retry-After takes the place of the wait, whatever it says", _ANY_HINT
    elif hints.honour and "replace" not in can:
        why, nearest = "Retry-After is not read", HintPolicy(honour=False)
    elif not hints.honour and "ignore" not in can:
        why, nearest = "a Retry-After is always obeyed", _ANY_HINT
    else:
        return
    said = "hints: {maximum: 86400, spread: 0}" if nearest.honour else "hints: {honour: false}"
    yield replace(policy, hints=nearest), Difference("hints", why, said)


def _errors(policy: PollingPolicy, form: Form, _typical_s: float | None) -> _Steps:
    if not form.failures and policy.errors != ErrorPolicy():
        yield (
            replace(policy, errors=ErrorPolicy()),
            Difference(
                "on_error",
                "failed reads have no budget and backoff of their own: an exception ends the polling",
                "without on_error; retry failed reads inside the function that reads the status",
            ),
        )


def notes(policy: PollingPolicy, form: Form) -> Iterator[str]:
    """Yield what the form does otherwise though the setting does not ask for it, in sentences."""
    if not form.failures:
        yield "A failed read ends the polling: retry failed reads inside the function that reads the status."
    if policy.hints.honour and form.hints == {"ignore"}:
        yield "Retry-After is not read."
    if policy.hints.honour and "replace" in form.hints:
        yield "A Retry-After takes the place of the wait, whatever it says."
    if form.deadline == "late" and policy.deadline is not None:
        yield (
            f"Polling stops after the first poll past {policy.deadline:g} s, which may come one wait late; "
            "no poll is sent at the deadline itself."
        )
    yield f"Give each status request a timeout of {policy.request_timeout:g} s."
