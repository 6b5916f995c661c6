"""Locust's door and the command line: ``locust -f harness`` and ``python -m harness``."""

__all__: list[str] = []
