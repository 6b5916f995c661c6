"""``new``: which source is meant, and what it needs; the sources themselves are in ``harness.new``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness._refusal import UNUSABLE, Refusal
from harness.live import Consent, asker, host_of
from harness.new import (
    IN_THE_WAY,
    Draft,
    from_curl,
    from_preset,
    from_questions,
    from_run,
    from_trace,
    place_of,
)
from scenarios.documents import is_there

_FROM_STDIN: Final = "-"


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line."""

    run: str | Path | None = None
    trace: str | None = None
    column: str | None = None
    preset: str | None = None
    curl: str | None = None
    hosts: tuple[str, ...] = ()
    yes: bool = False


def draft_of(wanted: Wanted, out: str | None, force: bool, *, say: Callable[[str], None]) -> Draft:
    """Return the draft that is asked for; raise ``Refusal`` where that is not one, or cannot be had.

    out, force: where it will go, which is looked at before anything is sent or asked. say: tells what was
    found.
    """
    sources = {
        "--from": wanted.run, "--trace": wanted.trace, "--preset": wanted.preset, "--curl": wanted.curl,
    }  # fmt: skip
    given = [name for name, value in sources.items() if value is not None]
    faults = []
    if len(given) > 1:
        faults.append(f"{' and '.join(given)}: give one source")
    for option, value, source in (
        ("--column", wanted.column, "--trace"),
        ("--allow-host", wanted.hosts, "--curl"),
        ("--yes", wanted.yes, "--curl"),
    ):
        if value and source not in given:
            faults.append(f"{option} goes with {source}")
    if out is not None and not force and is_there(place_of("", out)):
        faults.append(f"{out}: {IN_THE_WAY}")
    try:
        consent = Consent(frozenset(map(host_of, wanted.hosts)), wanted.yes)
    except ValueError as error:
        faults.append(f"--allow-host: {error}")
    if faults:
        raise Refusal("\n".join(faults), UNUSABLE)
    if wanted.run is not None:
        draft = from_run(wanted.run)
    elif wanted.trace is not None:
        draft = from_trace(wanted.trace, wanted.column, place_of("", out).parent)
    elif wanted.preset is not None:
        draft = from_preset(wanted.preset)
    elif wanted.curl is not None:
        command = sys.stdin.read() if wanted.curl == _FROM_STDIN else wanted.curl
        draft = from_curl(command, consent, asker(), say)
    else:
        draft = from_questions(asker() is not None, lambda name: force or not is_there(place_of(name, out)))
    for line in draft.found:
        say(line)
    return draft
