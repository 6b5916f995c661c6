"""``new`` alone: a few questions on a terminal; a bad answer is asked again, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from client import PRESETS, Backoff, PollingPolicy
from harness._refusal import UNUSABLE, Refusal
from harness.new._draft import Draft
from harness.new._pieces import (
    HEAD,
    Start,
    exact,
    named,
    objectives,
    preset_setting,
    quoted,
    rate_yaml,
    remark,
    spelled,
)
from scenarios import read_setting, setting_yaml
from scenarios.documents import DocumentError, did_you_mean, parse_rate, parse_seconds

_T = TypeVar("_T")
_TYPICAL: Final = "10s"
_TODAY: Final = "today"


def from_questions(terminal: bool, is_free: Callable[[str], bool]) -> Draft:
    """Return a scenario made of what a person answers; nothing is written before the last answer.

    terminal: whether there is one. is_free: whether a scenario of this name could be written.
    Raises ``Refusal`` without a terminal, and click.Abort at Ctrl-C or the end of input.
    """
    if not terminal:
        raise Refusal(
            "there is no terminal to ask on: name a source, --from RUN, --trace FILE, --preset NAME or "
            "--curl COMMAND",
            UNUSABLE,
        )
    click.echo("Enter takes what stands in brackets; Ctrl-C leaves, and nothing is written.", err=True)
    about = _ask("What are these jobs, in a few words", "jobs", lambda text: _free(text, is_free))
    median = _ask("Half of them are done within", _TYPICAL, _time)
    p99 = _ask("99 of 100 are done within", spelled(4 * median), lambda text: _longer(text, median))
    start = Start(median)
    rate = _ask("How many come, such as 2 (per second), 10/min or 1000/h", rate_yaml(start.rate), _rate)
    bound = _ask("95 of 100 clients should know of the end within", spelled(start.bound_s), _time)
    name, policy = _ask(
        "How do clients poll now: a wait such as 5s, a preset, or {curve: ...}", spelled(median / 4), _polling
    )
    return _draft(about, (median, p99), rate, bound, name, policy, start)


def _ask(question: str, default: str, read: Callable[[str], _T]) -> _T:
    def checked(text: str) -> _T:
        try:
            return read(text.strip())
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    answer: Any = click.prompt(question, default=default, value_proc=checked, err=True)
    return answer  # type: ignore[no-any-return] # what value_proc returned


def _free(text: str, is_free: Callable[[str], bool]) -> str:
    if not is_free(named(text)):
        raise ValueError(
            f"{named(text)}.yaml is there already: call them otherwise, or leave and add --out FILE"
        )
    return text


def _time(text: str) -> float:
    seconds = parse_seconds(_number(text))
    if seconds <= 0:
        raise ValueError("give more than 0 seconds, such as 10s")
    return seconds


def _number(text: str) -> str | float:
    """Return a plain number as one: on a terminal everything is text."""
    try:
        return float(text) if text.replace(".", "", 1).isdecimal() and text.isascii() else text
    except ValueError:
        return text


def _longer(text: str, median: float) -> float:
    seconds = _time(text)
    if seconds <= median:
        raise ValueError(f"half of them take {spelled(median)} or more: give more than that")
    return seconds


def _rate(text: str) -> float:
    rate = parse_rate(_number(text))
    if rate <= 0:
        raise ValueError("give more than 0, such as 2 or 10/min")
    return rate


def _polling(text: str) -> tuple[str, PollingPolicy]:
    """Return the name and the policy of the polling that is meant."""
    if text in PRESETS:
        return text, PRESETS[text]
    if text.startswith("{") or ": " in text:
        try:
            name, policy = read_setting(text)
        except DocumentError as error:
            raise ValueError(str(error)) from None
        return name or _TODAY, policy
    try:
        seconds = _time(text)
    except ValueError as error:
        if text[:1].isdigit():
            raise
        remedy = did_you_mean(text, sorted(PRESETS), "the presets are")
        raise ValueError(f"{text!r} is no preset and no wait; {remedy}") from error
    return _TODAY, PollingPolicy(Backoff("constant", seconds))


def _draft(
    about: str,
    durations: tuple[float, float],
    rate: float,
    bound: float,
    name: str,
    policy: PollingPolicy,
    start: Start,
) -> Draft:
    asked = f"Which polling should clients of {about} ship?"
    own = (
        preset_setting(name, "as it is today: ")
        if name in PRESETS
        else [
            "  # as it is today",
            f"  {setting_yaml(name, policy)}",
        ]
    )
    lines = [
        f"# {remark(asked)}",
        *HEAD,
        f"name: {named(about)}",
        f"question: {quoted(asked)}",
        "seed: 1",
        "job:",
        "  # As answered; measured times are better: python -m harness new --trace FILE",
        f"  duration: {{type: lognormal, median: {exact(durations[0])}, p99: {exact(durations[1])}}}",
        "service:",
        "  delay: {type: lognormal, median: 20ms, p99: 100ms}   # what a reply takes; a guess",
        *start.workload(rate, why="jobs per second, independent of each other"),
        "settings:",
        *own,
        *start.settings((*start.known,), without=name),
        *objectives(bound),
        f"baseline: {name}   # the others are compared with it",
    ]
    return Draft(named(about), "\n".join(lines) + "\n")
