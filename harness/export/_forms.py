"""The forms that a setting can be exported to, and what each can express. One row a form.

A form's text is made by the template of its name (``tenacity.jinja``), which stands beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from harness.export._law import CURVE_TEXTS, JITTER_TEXTS

_ALL_CURVES: Final = frozenset(CURVE_TEXTS)
_ALL_JITTERS: Final = frozenset(JITTER_TEXTS)


@dataclass(frozen=True, slots=True)
class Form:
    """One form and its limits.

    takes: what the text is for, in a few words. language: what the text is written in. comment: how a line
    of comment begins; empty where there are none.
    curves, jitters: those that it has. tiers: whether a schedule's delays may last until some time has
    passed. waits_first: whether a wait can come before the first poll.
    deadline: "exact" (a last poll at the edge), "late" (it stops after the first poll past it) or "none".
    attempts: whether polls are counted. hints: what can be done about Retry-After: "lengthen" the wait, as
    ours does, let it "replace" the wait, "ignore" it. failures: whether failed reads have a budget and a
    backoff of their own; elsewhere an exception of the reader ends the polling. data: whether it is the
    setting itself, field by field, whatever fields there are.
    """

    takes: str
    language: str
    comment: str
    curves: frozenset[str] = _ALL_CURVES
    jitters: frozenset[str] = _ALL_JITTERS
    tiers: bool = True
    waits_first: bool = True
    deadline: Literal["exact", "late", "none"] = "exact"
    attempts: bool = True
    hints: frozenset[Literal["lengthen", "replace", "ignore"]] = frozenset({"lengthen", "ignore"})
    failures: bool = True
    data: bool = False

    @property
    def cannot(self) -> tuple[str, ...]:
        """What it cannot express, in a few words each."""
        return tuple(self._limits())

    def _limits(self) -> Iterator[str]:
        if self.curves != _ALL_CURVES:
            yield f"curves but {' and '.join(sorted(self.curves))}"
        if lacking := sorted(_ALL_JITTERS - self.jitters):
            few = f"but {' and '.join(sorted(self.jitters))}"
            yield f"jitter {lacking[0] if len(lacking) == 1 else few}"
        if not self.tiers and "schedule" in self.curves:
            yield "a schedule by elapsed time"
        if not self.data:
            yield "an anchor but reply; restart_on"
        if not self.waits_first:
            yield "a wait before the first poll"
        if self.deadline == "late":
            yield "a last poll at the deadline"
        elif self.deadline == "none":
            yield "a deadline"
        if not self.attempts:
            yield "a limit of polls"
        if "replace" in self.hints:
            yield "a Retry-After that only lengthens the wait: it takes its place"
        elif "lengthen" not in self.hints:
            yield "Retry-After"
        if not self.failures:
            yield "a budget for failed reads"


FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "azure-core": Form(
            "azure-core's LROBasePolling",
            "Python",
            "#",
            curves=frozenset({"constant"}),
            jitters=frozenset({"none"}),
            waits_first=False,
            deadline="none",
            attempts=False,
            hints=frozenset({"replace"}),
            failures=False,
        ),
        "backoff": Form("the package backoff", "Python", "#", failures=False),
        "bash": Form("bash and awk", "bash", "#"),
        "botocore": Form(
            "a waiter of botocore (waiters-2.json)",
            "JSON",
            "",
            curves=frozenset({"constant"}),
            jitters=frozenset({"none"}),
            waits_first=False,
            deadline="none",
            hints=frozenset({"ignore"}),
            failures=False,
        ),
        "go": Form("Go's standard library", "Go", "//"),
        "google-api-core": Form(
            "google-api-core's Retry",
            "Python",
            "#",
            curves=frozenset({"constant", "exponential"}),
            jitters=frozenset({"full"}),
            attempts=False,
            hints=frozenset({"ignore"}),
            failures=False,
        ),
        "javascript": Form("JavaScript: Node.js and browsers", "JavaScript", "//"),
        "json": Form("any program: the numbers", "JSON", "", data=True),
        "python": Form("Python's standard library", "Python", "#"),
        "stamina": Form(
            "the package stamina",
            "Python",
            "#",
            curves=frozenset({"constant", "exponential"}),
            jitters=frozenset({"none", "second-more"}),
            deadline="late",
            hints=frozenset({"ignore"}),
            failures=False,
        ),
        "tenacity": Form("the package tenacity", "Python", "#", failures=False),
        "urllib3": Form(
            "urllib3's Retry: APIs that say 202 while pending",
            "Python",
            "#",
            jitters=_ALL_JITTERS - {"decorrelated"},
            tiers=False,
            deadline="none",
            hints=frozenset({"replace", "ignore"}),
            failures=False,
        ),
    }
)
"""The forms by name, read-only."""
