"""Locust's side: the conductor of visits, the lanes, and the simulator as a process of its own."""

from __future__ import annotations

__all__: list[str] = []
