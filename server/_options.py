"""The command line of ``python -m server``."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from scenarios import Simulation
from scenarios.documents import parse_number, parse_seconds
from scenarios.draws import Fixed


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; argparse ends the process with status 2 on a mistake."""
    options = argparse.ArgumentParser(prog="python -m server", description="Serve the simulated job service.")
    options.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    options.add_argument(
        "--port", type=_whole(2**16 - 1), default=5000, help="default: %(default)s; 0: any free one"
    )
    options.add_argument(
        "--scenario",
        metavar="FILE",
        help="a path, or a name in scenarios/ (default: $BACKOFF_SCENARIO, then config.yaml's, then a demo)",
    )
    options.add_argument(
        "--duration",
        type=_seconds,
        metavar="SECONDS",
        help="make every job take this long; 250ms and 2m work too",
    )
    options.add_argument("--error-rate", type=_share, metavar="P", help="share of the jobs that fail, 0 to 1")
    options.add_argument("--seed", type=_whole(2**64 - 1), metavar="N", help="root of all randomness")
    options.add_argument("--exit-with-parent", action="store_true", help="stop when standard input ends")
    return options


def overridden(simulation: Simulation, options: argparse.Namespace) -> Simulation:
    """Return the simulation with what the command line says in place of what the scenario says."""
    job = {"error_rate": options.error_rate}
    job["duration"] = None if options.duration is None else Fixed(value=options.duration)
    job = {key: value for key, value in job.items() if value is not None}
    seed = simulation.seed if options.seed is None else options.seed
    return simulation.model_copy(update={"seed": seed, "job": simulation.job.model_copy(update=job)})


def _whole(largest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) <= largest):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {largest}")
        return int(text)

    return parse


def _share(text: str) -> float:
    try:
        share = parse_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return share


def _seconds(text: str) -> float:
    try:
        value: float | str = parse_number(text)
    except ValueError:
        value = text
    try:
        return parse_seconds(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
