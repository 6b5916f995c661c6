"""The user's leave, before anything is sent to an API: may it be loaded, and is that what is meant.

This machine needs no leave. Any other host does, by name on the command line and by a yes: a scenario file
that came from elsewhere must not be able to load a service by being run.
"""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from harness._refusal import INTERRUPTED, UNUSABLE, Refusal
from harness.live._budget import too_many_processes
from scenarios import Scenario, is_loopback, more_than_allowed, sending_lines, target_lines

Ask = Callable[[str], str]
"""Asks a person and returns the answer; raises EOFError where there will be none."""


@dataclass(frozen=True)
class Consent:
    """What the command line allows: hosts besides this machine, and to go ahead without a question.

    command: what was typed, as a list of words.
    """

    hosts: frozenset[str]
    yes: bool
    command: tuple[str, ...] = ()


def host_of(text: str) -> str:
    """Return a host as it is compared; raise ValueError unless the text is one, alone."""
    host = text.strip().lower().removeprefix("[").removesuffix("]").rstrip(".")
    try:
        return ip_address(host).compressed
    except ValueError:
        if not host or set(host) & set("/:@?#[] \t"):
            remedy = "give its name or number alone, such as api.example.com"
            raise ValueError(f"{text!r} is not a host; {remedy}") from None
        return host


def check_host(scenario: Scenario, consent: Consent) -> None:
    """Raise ``Refusal`` unless this process may send requests to the scenario's target."""
    _refuse(_not_allowed(scenario, consent))


def check_target(scenario: Scenario, consent: Consent, only: Sequence[str] | None, processes: int) -> None:
    """Raise ``Refusal`` unless a run on the scenario's target may be had; nothing was sent yet.

    only: the settings to be visited, None for all. processes: how many will share its limits.
    """
    if scenario.target is not None:
        short = too_many_processes(scenario.target.limits, processes)
        _refuse(more_than_allowed(scenario, only), short, _not_allowed(scenario, consent))


def _refuse(*faults: str | None) -> None:
    if told := [fault for fault in faults if fault]:
        raise Refusal("\n".join(told), UNUSABLE)


def announce(
    scenario: Scenario,
    consent: Consent,
    only: Sequence[str] | None,
    *,
    say: Callable[[str], None],
    ask: Ask | None,
) -> None:
    """Say what will be sent to the target, and ask whether to go ahead; raise ``Refusal`` if not.

    ask: asks a person; None: there is nobody to ask.
    """
    target = scenario.target
    if target is None:
        return
    settings = list(dict.fromkeys(visit.setting for visit in scenario.visits(only)))
    say(f"This run of {scenario.name} ({', '.join(settings)}) sends requests to a service of yours:")
    for line in (*target_lines(scenario), *sending_lines(scenario, only)):
        say(f"  {line}")
    if not is_this_machine(target.host):
        agree(consent, ask, "Go ahead?", "nothing was sent")


def agree(consent: Consent, ask: Ask | None, question: str, otherwise: str) -> None:
    """Return once a person, or ``--yes``, has agreed; raise ``Refusal``, saying what is so otherwise."""
    if consent.yes:
        return
    if ask is None:
        wanted = _with(consent, "--yes")
        raise Refusal(f"there is no terminal to ask on: if this is what you mean, {wanted}", UNUSABLE)
    try:
        answer = ask(f"{question} [y/N] ")
    except (EOFError, KeyboardInterrupt):
        raise Refusal(otherwise, INTERRUPTED) from None
    if answer.strip().lower() not in ("y", "yes"):
        raise Refusal(otherwise, UNUSABLE)


def asker() -> Ask | None:
    """Return what asks the person at the terminal; None where there is no terminal."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str) -> str:
        print(question, end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if not answer:
            raise EOFError
        return answer

    return ask


def is_this_machine(host: str) -> bool:
    """Return whether a host is this machine, also if its ``localhost`` is said to be elsewhere."""
    return is_loopback(host) and (host != "localhost" or all(map(is_loopback, _numbers(host))))


def _numbers(host: str) -> Iterator[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return
    yield from (str(each[4][0]) for each in found)


def _plain(host: str) -> str:
    try:
        return host_of(host)
    except ValueError:
        return host


def _not_allowed(scenario: Scenario, consent: Consent) -> str | None:
    return None if scenario.target is None else not_allowed(scenario.target.host, consent)


def not_allowed(host: str, consent: Consent) -> str | None:
    """Return why this process may not send requests to this host; None if it may."""
    if is_this_machine(host) or _plain(host) in consent.hosts:
        return None
    wanted = _with(consent, "--allow-host", host)
    others = f", and --allow-host names {_listed(consent.hosts)}" if consent.hosts else ""
    return f"the target is another machine, {host!r}{others}: if you may load it, {wanted}"


def _listed(hosts: Iterable[str]) -> str:
    return " and ".join(map(repr, sorted(hosts)))


def _with(consent: Consent, *more: str) -> str:
    command = shlex.join([*consent.command, *more])
    return f"type: {command}" if consent.command else f"add {shlex.join(more)}"
