"""The command line of ``python -m server``: how its values are read, and what they change in a simulation."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scenarios import Simulation


def whole(largest: int) -> Callable[[str], int]:
    """Return the reader of a whole number from 0 to ``largest``; it raises ``click.BadParameter``."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) <= largest):
            raise click.BadParameter(f"{text!r} is not a whole number from 0 to {largest}")
        return int(text)

    return read


def at_least_one(largest: int) -> Callable[[str], int]:
    """Return the reader of a whole number from 1 to ``largest``; it raises ``click.BadParameter``."""

    def read(text: str) -> int:
        if (number := whole(largest)(text)) == 0:
            raise click.BadParameter(f"{text!r} is not a whole number from 1 to {largest}")
        return number

    return read


def descriptor(text: str) -> int:
    """Return the number of a file that the starting process left open, or raise ``click.BadParameter``."""
    number = whole(2**31 - 1)(text)
    try:
        os.fstat(number)
    except OSError:
        message = f"{number} is no open file; it is meant for the process that starts this one"
        raise click.BadParameter(message) from None
    return number


def share(text: str) -> float:
    """Return a number from 0 to 1, or raise ``click.BadParameter``."""
    from scenarios.documents import parse_number

    try:
        number = parse_number(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not 0 <= number <= 1:
        raise click.BadParameter(f"{text} is not between 0 and 1")
    return number


def seconds(text: str) -> float:
    """Return a duration as scenarios write it (4, 250ms, 2m), or raise ``click.BadParameter``."""
    from scenarios.documents import parse_number, parse_seconds

    try:
        written: float | str = parse_number(text)
    except ValueError:
        written = text
    try:
        return parse_seconds(written)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def overridden(
    simulation: Simulation, *, duration: float | None, error_rate: float | None, seed: int | None
) -> Simulation:
    """Return the simulation with what the command line says in place of what the scenario says."""
    from scenarios.draws import Fixed

    job: dict[str, object] = {}
    if duration is not None:
        job["duration"] = Fixed(value=duration)
    if error_rate is not None:
        job["error_rate"] = error_rate
    seed = simulation.seed if seed is None else seed
    return simulation.model_copy(update={"seed": seed, "job": simulation.job.model_copy(update=job)})
