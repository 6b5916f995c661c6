"""``new --preset NAME``: what a well-known client ships, against what could be shipped instead."""

from __future__ import annotations

from typing import Final

from client import ORIGINS, PRESETS, Done, Poller, PollingPolicy, Wait
from harness._refusal import UNUSABLE, Refusal
from harness.new._draft import Draft
from harness.new._pieces import HEAD, Start, comment, law, named, objectives, preset_setting, quoted
from scenarios.documents import did_you_mean

_LOOKS: Final = 4  # by which half of the jobs have ended: a preset is judged where it may be used
_TAIL: Final = 4.0  # times the median, which one job of a hundred exceeds
_ENOUGH: Final = 1000
_SHORTEST_S: Final = 0.5


def from_preset(name: str) -> Draft:
    """Return a scenario in which a preset is the baseline; raise ``Refusal`` if there is none of this name.

    A preset does not say what jobs it is for: half of them end by its fourth look.
    """
    if name not in PRESETS:
        raise Refusal(f"{name!r} is no preset; {did_you_mean(name, sorted(PRESETS), 'there are')}", UNUSABLE)
    start = Start(_typical(PRESETS[name]))
    asked = f"What would a client gain by other polling than {name}?"
    lines = [
        f"# {asked}",
        *HEAD,
        f"name: {named(f'instead-of-{name}')}",
        f"question: {quoted(asked)}",
        "seed: 1",
        "job:",
        *comment(
            "a guess, for a preset does not say what jobs it is for; put in what yours take, or better a "
            "file of measured times: python -m harness new --trace FILE",
            2,
        ),
        f"  duration: {law(start.typical_s)}",
        "service:",
        "  delay: {type: lognormal, median: 20ms, p99: 100ms}   # what a reply takes",
        *start.workload(),
        "settings:",
        *preset_setting(name),
        *start.settings(),
        *objectives(start.bound_s),
        f"baseline: {name}   # the others are compared with it",
    ]
    return Draft(
        named(f"instead-of-{name}"),
        "\n".join(lines) + "\n",
        found=(f"{name}: {ORIGINS[name].policy.describe()}", f"from {ORIGINS[name].source}"),
    )


def _typical(policy: PollingPolicy) -> float:
    """Return what jobs may take so that a policy makes sense: four looks, and few are lost to its limits.

    Draws are in the middle, and replies take no time.
    """
    poller = Poller(policy, lambda _n: 0.5)
    command: Wait | Done = poller.start(0.0)
    looks: list[float] = []
    while isinstance(command, Wait) and len(looks) < _ENOUGH:
        looks.append(command.until)
        poller.wake(looks[-1])
        command = poller.reply(looks[-1], "pending")
    usual = looks[min(_LOOKS, len(looks)) - 1]
    return max(usual if isinstance(command, Wait) else min(usual, looks[-1] / _TAIL), _SHORTEST_S)
