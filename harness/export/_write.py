"""Writing a setting in one of the forms: its template, filled in."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from client import NATIVE, PollingPolicy, parameters
from harness._version import DISTRIBUTION, own_version
from harness.export._differences import Difference, adapt, notes
from harness.export._forms import FORMS, Form
from harness.export._law import law_text, literal

if TYPE_CHECKING:
    from jinja2 import Environment

_WIDTH: Final = 100
_LONGEST_WORDS: Final = 300  # of what a user typed, in a comment
_SHOWN_DELAYS: Final = 10
_ENDLESS_ATTEMPTS: Final = 2**31 - 1  # botocore's waiters must have a limit of polls


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting comes from, for the text's header: its name, and its scenario's name and question."""

    setting: str
    scenario: str | None = None
    question: str = ""


@dataclass(frozen=True, slots=True)
class Exported:
    """A setting in another form.

    text: what to paste. policy: what the text does; the nearest setting, where there are ``differences``.
    notes: what the form does otherwise though the setting does not ask for it; ``untold`` are those that the
    text itself has no place for.
    """

    text: str
    policy: PollingPolicy
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    untold: tuple[str, ...]


class CannotExpress(ValueError):
    """The form cannot express the setting: ``differences`` say what, ``nearest`` is what it can."""

    def __init__(self, form: str, differences: Sequence[Difference], nearest: PollingPolicy) -> None:
        super().__init__(form, differences, nearest)
        self.form = form
        self.differences = tuple(differences)
        self.nearest = nearest

    def __str__(self) -> str:
        from scenarios import setting_yaml  # loaded here: it takes long, and most settings need none

        lines = [f"{self.form} cannot express this setting:"]
        lines += [f"  {each.key}: {each.why}; the nearest is {each.nearest}" for each in self.differences]
        lines.append(
            f"the nearest that it can (take it with --nearest): {setting_yaml('nearest', self.nearest)}"
        )
        return "\n".join(lines)


def export_setting(
    policy: PollingPolicy,
    form: str,
    origin: Origin,
    *,
    typical_s: float | None = None,
    nearest: bool = False,
) -> Exported:
    """Return a setting as the text of a form, a name in ``FORMS``.

    typical_s: how long a job takes, in seconds, if that is known; see ``adapt``. nearest: take the nearest
    setting that the form can express; otherwise CannotExpress is raised for one that it cannot.
    """
    row = FORMS[form]
    expressed, differences = adapt(policy, row, typical_s)
    if differences and not nearest:
        raise CannotExpress(form, differences, expressed)
    said = tuple(notes(expressed, row))
    if form == "json":
        text = _json(expressed, origin)
    elif form == "botocore":
        text = _waiter(expressed, origin)
    else:
        text = _code(form, expressed, [*_header(expressed, row, origin, differences, said)])
    return Exported(text, expressed, tuple(differences), said, () if row.comment else said)


def _code(form: str, policy: PollingPolicy, header: Sequence[str]) -> str:
    comment = FORMS[form].comment
    text = (
        _templates()
        .get_template(f"{form}.jinja")
        .render(
            header="\n".join(f"{comment} {line}".rstrip() for line in header),
            policy=policy,
            cadence=law_text(policy.cadence),
            on_error=law_text(policy.errors.backoff),
            first=policy.first_poll == "after_delay",
        )
    )
    return re.sub(r"\n{4,}", "\n\n\n", text).rstrip("\n") + "\n"


@cache
def _templates() -> Environment:
    # Loaded here: few who use this room write code.
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def read(name: str) -> str:
        return files("harness.export").joinpath(name).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(read),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - code, not HTML: what a user typed is made plain by _plain
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["literal"] = literal
    environment.filters["listed"] = _listed
    return environment


def _listed(numbers: Sequence[str], indent: int) -> str:
    """Return numbers with commas, on as many indented lines as they need."""
    space = " " * indent
    return textwrap.fill(", ".join(numbers), _WIDTH, initial_indent=space, subsequent_indent=space) + ","


def _header(
    policy: PollingPolicy,
    form: Form,
    origin: Origin,
    differences: Sequence[Difference],
    said: Sequence[str],
) -> Iterator[str]:
    """Yield the lines of the text's first comment.

    What a user typed comes third at the earliest: on a first or second line a comment can be an instruction
    to Python or to a shell.
    """
    yield from _wrapped(f"Poll a job until it is done. {policy.describe()}.")
    yield f"Written by {DISTRIBUTION} {own_version()} for {form.takes}."
    where = f" of the scenario {origin.scenario}" if origin.scenario else ""
    question = f": {_plain(origin.question)}" if origin.question else ""
    yield from _wrapped(f"Setting {_plain(origin.setting)}{where}{question}")
    for each in differences:
        yield from _wrapped(f"Differs from it: {each.key}: {each.why}; here {each.nearest}.")
    for note in said:
        yield from _wrapped(note)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH - 4, subsequent_indent="  ", break_long_words=True)


def _plain(text: str) -> str:
    """Return what a user typed so that it stays on one line of a comment, cut."""
    from scenarios.documents import printable

    return printable(text if len(text) <= _LONGEST_WORDS else text[: _LONGEST_WORDS - 3] + "...")


def _json(policy: PollingPolicy, origin: Origin) -> str:
    from scenarios import setting_yaml

    data: dict[str, Any] = {
        "setting": origin.setting,
        "scenario": origin.scenario,
        "description": policy.describe(),
        "written_by": f"{DISTRIBUTION} {own_version()}",
        "unit": "seconds",
        "yaml": setting_yaml("setting", policy),
        **_plain_data(policy),
        "first_delays": [*_first_delays(policy)],
    }
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain_data(part: Any) -> dict[str, Any]:
    """Return a policy's fields, and those of its parts, as data."""
    data = {}
    for each in parameters(type(part)):
        value = getattr(part, each.name)
        data[each.name] = _plain_data(value) if each.rule.kind == "object" else value
    return data


def _first_delays(policy: PollingPolicy) -> Iterator[dict[str, float]]:
    """Yield the bounds of the first delays."""
    least = most = None
    for k in range(1, _SHOWN_DELAYS + 1):
        least = policy.cadence.delay(k, least, 0.0)
        most = policy.cadence.delay(k, most, 1.0)
        yield {"k": k, "least": least, "most": most}


def _waiter(policy: PollingPolicy, origin: Origin) -> str:
    """Return a file for ``botocore.waiter.WaiterModel``, by the native dialect's words."""
    status = NATIVE.status
    acceptors = [
        {"matcher": "path", "argument": status.state, "expected": word, "state": state}
        for words, state in ((status.completed, "success"), (status.error, "failure"))
        for word in words
    ]
    delay = policy.cadence.initial or 0.0
    waiter = {
        "operation": "GetJob",
        "description": f"{_plain(origin.setting)}: {policy.describe()}; by {DISTRIBUTION} {own_version()}",
        "delay": int(delay) if delay.is_integer() else delay,
        "maxAttempts": policy.max_attempts or _ENDLESS_ATTEMPTS,
        "acceptors": acceptors,
    }
    return json.dumps({"version": 2, "waiters": {"JobCompleted": waiter}}, indent=2) + "\n"
