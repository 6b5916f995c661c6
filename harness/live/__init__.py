"""Locust's side: the conductor of visits, the lanes, and the simulator as a process of its own."""

from __future__ import annotations

from harness.live._ramp import seconds_before_visit

__all__ = ["seconds_before_visit"]
