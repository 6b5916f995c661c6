"""The pieces that new scenarios are made of: text that is safe in YAML, and settings to begin with."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import yaml

from client import ORIGINS, Backoff, PollingPolicy
from scenarios import setting_yaml

_LONGEST_NAME: Final = 64
_WIDTH: Final = 110
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")
_FIRST: Final = re.compile(r"^[^A-Za-z]+")
_IN_FLIGHT: Final = 20  # jobs at once, on average: enough for settings to differ, few enough to look at
_MOST_RATE: Final = 20.0  # jobs per second
_JOBS: Final = 200
_SIGMA: Final = 0.6
_WELL_KNOWN: Final = ("google-api-core-lro", "azure-core-lro")
_GOOD: Final[Mapping[str, str]] = {
    "lag_p95": "95 of 100 clients learn within this time that their job is done",
    "lag_mean": "how late clients learn of it, on average; lag_p95 needs 72 jobs per setting",
}
_SHORT: Final = 20.0  # seconds: jobs for which a wait of half a minute is no choice

HEAD: Final = (
    "# docs/scenarios.md explains every key. What would run, at what cost: python -m harness check FILE;",
    "# in virtual time: python -m harness simulate FILE; which setting to ship: python -m harness plan FILE",
)
"""The comment at the top of every new scenario, below its first line."""


def quoted(text: str) -> str:
    """Return any text as YAML, in double quotes on one line."""
    sound = text.encode("utf-8", "replace").decode("utf-8")  # halves of characters cannot be written
    return dumped(sound, default_style='"').strip()


def dumped(data: Any, dumper: type[yaml.SafeDumper] = yaml.SafeDumper, **style: Any) -> str:
    """Return data as YAML, in its own script unless YAML would take a character for the end of a line."""
    style = {"Dumper": dumper, "sort_keys": False, "width": math.inf, **style}
    text: str = yaml.dump(data, allow_unicode=True, **style)
    if text.replace("\n", "").isprintable():
        return text
    escaped: str = yaml.dump(data, allow_unicode=False, **style)
    return escaped


def remark(text: str) -> str:
    """Return any text as it may stand in a comment: in one line, without what steers terminals."""
    sound = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(each if each.isprintable() else " " for each in " ".join(sound.split()))


def comment(text: str, indent: int = 0) -> list[str]:
    """Return any text as a comment, in as many lines as it needs."""
    return textwrap.wrap(
        remark(text),
        _WIDTH,
        break_on_hyphens=False,
        initial_indent=f"{' ' * indent}# ",
        subsequent_indent=f"{' ' * indent}#   ",
    ) or [f"{' ' * indent}#"]


def named(text: str, otherwise: str = "jobs") -> str:
    """Return the name of a scenario that any text suggests: letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return _FIRST.sub("", _UNFIT.sub("-", plain)).rstrip("-._")[:_LONGEST_NAME].rstrip("-._") or otherwise


def flow(data: Any) -> str:
    """Return plain data as YAML on one line."""
    return dumped(data, default_flow_style=True).strip()


def spelled(seconds: float) -> str:
    """Return a duration of two significant digits, as people write it in YAML."""
    value = rounded(seconds)
    for unit, size in (("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        number = value / size
        if number >= 1 and (unit in ("s", "ms") or float(f"{number:.3g}").is_integer()):
            return f"{number:.10g}{unit}"
    return f"{value / 1e-9:.10g}ns"


def rounded(value: float) -> float:
    """Return a number with two significant digits, which is as much as a guess is worth."""
    return float(f"{value:.1e}")


def law(typical_s: float) -> str:
    """Return the durations that are assumed where only the usual one is known."""
    return f"{{type: lognormal, median: {spelled(typical_s)}, sigma: {_SIGMA}}}"


def preset_setting(name: str, note: str = "") -> list[str]:
    """Return a preset as an entry of ``settings:``, with what it is above it."""
    origin = ORIGINS[name]
    said = (
        f"{note}{origin.policy.describe()}",
        f"from {origin.source}",
        *([origin.note] if origin.note else ()),
    )
    return [*(line for each in said for line in comment(each, 2)), f"  {name}: {{preset: {name}}}"]


class Start:
    """What there is to compare to begin with, for jobs that take about so many seconds.

    typical_s: the median duration. deadline_s: when clients leave; None: they do not.
    """

    def __init__(self, typical_s: float, deadline_s: float | None = None) -> None:
        self.typical_s = typical_s
        self._deadline = deadline_s
        self.bound_s = rounded(typical_s / 2)
        """A lag that is good enough, unless somebody says otherwise."""
        self.rate = rounded(min(_MOST_RATE, _IN_FLIGHT / typical_s))
        """Jobs per second with which about twenty are under way at a time."""
        constant = self._policy(Backoff("constant", rounded(typical_s / 4)))
        self.constant: Final = f"constant-{spelled(typical_s / 4)}"
        growing = Backoff(
            "exponential",
            rounded(typical_s / 8),
            maximum=max(rounded(typical_s), rounded(typical_s / 8)),
            jitter="full",
        )
        self._own: Final[Mapping[str, tuple[str, PollingPolicy]]] = {
            self.constant: ("the same wait each time, a quarter of what a job usually takes", constant),
            "exponential": (
                "soon at first, then ever longer waits; full jitter keeps clients from coming together",
                self._policy(growing),
            ),
        }

    def _policy(self, cadence: Backoff) -> PollingPolicy:
        return PollingPolicy(cadence, deadline=self._deadline)

    def settings(self, known: Iterable[str] = (), without: str | None = None) -> list[str]:
        """Return the entries of ``settings:``. known: names of presets. without: what is there already."""
        lines = []
        for name, (words, policy) in self._own.items():
            if name != without:
                lines += [*comment(words, 2), f"  {setting_yaml(name, policy)}"]
        for name in known:
            if name != without:
                lines += preset_setting(name, "what a well-known client ships: ")
        return lines

    @property
    def known(self) -> tuple[str, ...]:
        """The presets that suit jobs of this length: what waits for much longer is no choice."""
        return _WELL_KNOWN[:1] if self.typical_s < _SHORT else _WELL_KNOWN

    def workload(self, rate: float | None = None, *, why: str = "") -> list[str]:
        """Return the workload. rate: jobs per second, ``self.rate`` unless given; why: that rate."""
        chosen = self.rate if rate is None else rate
        said = why or f"such that about {_IN_FLIGHT} jobs are under way at a time"
        return [
            "workload:",
            "  lanes: 10   # clients; jobs are dealt to them in turn",
            f"  arrivals: {{type: poisson, rate: {rate_yaml(chosen)}}}   # {remark(said)}",
            f"  jobs: {_JOBS}   # per setting; simulate --jobs N takes more, without waiting",
        ]


def exact(seconds: float) -> str:
    """Return a duration in seconds to its last digit, as YAML reads it."""
    return f"{Decimal(repr(float(seconds))):f}s"


def rate_yaml(per_second: float) -> str:
    """Return a rate as YAML reads it, in the first unit in which it is one or more."""
    for unit, seconds in (("s", 1.0), ("min", 60.0), ("h", 3600.0)):
        if per_second * seconds >= 1:
            return f"{_plain(per_second * seconds)}" + ("" if unit == "s" else f"/{unit}")
    return f"{_plain(per_second * 86400.0)}/d"


def _plain(number: float) -> str:
    """Return a number of six significant digits, without an exponent."""
    return f"{Decimal(f'{number:.6g}'):f}"


def objectives(bound_s: float, figure: str = "lag_p95") -> Iterator[str]:
    """Yield what is good enough: ``lag_p95``, or ``lag_mean`` where jobs are few."""
    yield "objectives:"
    yield f"  {figure}: {spelled(bound_s)}   # {_GOOD[figure]}"
