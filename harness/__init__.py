"""Locust's door and the command line: ``locust -f harness`` and ``python -m harness``."""

from __future__ import annotations

__all__: list[str] = []
