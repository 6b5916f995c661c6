"""A policy as the YAML that means it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from client import Backoff, ErrorPolicy, HintPolicy, PollingPolicy

_PARAMETERS = ("multiplier", "increment", "maximum", "jitter")


def setting_yaml(name: str, policy: PollingPolicy) -> str:
    """One entry for ``settings:`` in a scenario file; reading it gives an equal policy.

    What is left at the client's default is not written. Raises ValueError for what YAML has no key for.
    """
    usual = PollingPolicy(policy.cadence)
    if policy.last_poll_timeout != usual.last_poll_timeout:
        raise ValueError("last_poll_timeout: a scenario file has no such key")
    data: dict[str, Any] = _backoff(policy.cadence)
    if policy.first_poll != usual.first_poll:
        data["first_poll"] = policy.first_poll
    data |= {
        key: spell(getattr(policy, key))
        for key in ("deadline", "request_timeout")
        if getattr(policy, key) != getattr(usual, key)
    }
    if policy.max_attempts is not None:
        data["max_attempts"] = policy.max_attempts
    if errors := _errors(policy.errors):
        data["on_error"] = errors
    if hints := _hints(policy.hints):
        data["hints"] = hints
    return flow(name, data)


def original_yaml(name: str, scenario_text: str) -> str:
    """An existing setting as its scenario file has it, on one line."""
    return flow(name, yaml.safe_load(scenario_text)["settings"][name])


def flow(name: str, data: Mapping[str, Any]) -> str:
    """``name: {key: value, ...}`` on one line."""
    text = yaml.safe_dump(dict(data), default_flow_style=True, sort_keys=False, width=10**6).strip()
    return f"{name}: {text}"


def spell(seconds: float) -> str | float:
    """A duration as people write it, if reading it gives the same number; else the number of seconds."""
    if 0.0 < seconds < 0.1:
        milliseconds = f"{seconds * 1000:.10g}"
        if float(milliseconds) * 0.001 == seconds and "e" not in milliseconds:
            return f"{milliseconds}ms"
    plain = f"{seconds:.10g}"
    return f"{plain}s" if float(plain) == seconds and "e" not in plain else seconds


def _backoff(law: Backoff) -> dict[str, Any]:
    data: dict[str, Any] = {"curve": law.curve}
    if law.initial is not None:
        data["initial"] = spell(law.initial)
    usual = Backoff(law.curve, law.initial, delays=law.delays)
    data |= _changed(law, usual, _PARAMETERS)
    if law.delays:
        data["delays"] = [spell(delay) for delay in law.delays]
    return data


def _errors(errors: ErrorPolicy) -> dict[str, Any]:
    usual = ErrorPolicy()
    data = {} if errors.backoff == usual.backoff else _backoff(errors.backoff)
    return data | _changed(errors, usual, ("max_consecutive", "not_found_grace"))


def _hints(hints: HintPolicy) -> dict[str, Any]:
    return _changed(hints, HintPolicy(), ("honour", "maximum", "spread"))


_DURATIONS = {"increment", "maximum", "not_found_grace"}


def _changed(value: object, usual: object, names: Iterable[str]) -> dict[str, Any]:
    """The attributes that differ from the usual ones."""
    return {
        name: spell(getattr(value, name)) if name in _DURATIONS else getattr(value, name)
        for name in names
        if getattr(value, name) != getattr(usual, name)
    }
