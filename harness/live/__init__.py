"""Locust's side: the conductor of visits, the lanes, and the simulator as a process of its own."""

from __future__ import annotations

from harness.live._consent import Ask, Consent, agree, asker, host_of, is_this_machine, not_allowed
from harness.live._machine import too_much
from harness.live._once import submit_once
from harness.live._ramp import seconds_before_visit
from harness.live._recovery import recover

__all__ = [
    "Ask",
    "Consent",
    "agree",
    "asker",
    "host_of",
    "is_this_machine",
    "not_allowed",
    "recover",
    "seconds_before_visit",
    "submit_once",
    "too_much",
]
