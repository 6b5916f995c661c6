"""``export``: find the setting that is meant, and write it in the form that is wanted."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from client import PRESETS, PollingPolicy
from harness._refusal import UNUSABLE, Refusal
from harness.export import FORMS, CannotExpress, Exported, Origin, export_setting

if TYPE_CHECKING:
    from scenarios import Options, Scenario

_FROM_STDIN: Final = "-"
_LONGEST_WORD: Final = 60  # of what was typed, in a message


@dataclass(frozen=True, slots=True)
class Wanted:
    """A setting to export, where it comes from, and how many seconds a job takes there, if that is known."""

    policy: PollingPolicy
    origin: Origin
    typical_s: float | None = None


def render_forms() -> str:
    """Return the table of forms as text."""
    from harness.measure import Page, grid

    table = grid(gap=1)
    table.add_column("form", no_wrap=True)
    table.add_column("is for", ratio=1)
    table.add_column("cannot express", ratio=2)
    for name, form in FORMS.items():
        table.add_row(name, form.takes, "; ".join(form.cannot) or "(it can express everything)")
    page = Page()
    page.print(table)
    return page.text()


def form_named(name: str | None) -> str:
    """Return the name of a form, or raise ``Refusal`` with what may have been meant."""
    if name in FORMS:
        return str(name)
    from scenarios.documents import did_you_mean

    if name is None:
        raise Refusal(
            f"say which form with --to FORM; there are {', '.join(FORMS)} (--list tells more)", UNUSABLE
        )
    remedy = did_you_mean(name, FORMS, "there are")
    raise Refusal(f"{_shown(name)} is no form that a setting can be exported to; {remedy}", UNUSABLE)


def wanted(words: Sequence[str], resolve: Callable[[str | None], Options]) -> Wanted:
    """Return the setting that ``[SCENARIO] SETTING`` means, or raise ``Refusal``.

    The setting is the name of one of the scenario's, or of a preset, or YAML as ``plan`` prints it; "-" reads
    that from standard input. ``resolve`` finds a scenario, the default one for None.
    """
    if not 1 <= len(words) <= 2:
        raise Refusal("name one setting: python -m harness export [SCENARIO] SETTING --to FORM", UNUSABLE)
    *before, setting = words
    if setting == _FROM_STDIN:
        setting = sys.stdin.read()
    elif not before and setting.endswith((".yaml", ".yml")):
        raise Refusal(f"{_shown(setting)} is a scenario; name one of its settings after it", UNUSABLE)
    if _is_yaml(setting):
        name, policy = _read(setting)
        if not before:
            return Wanted(policy, Origin(name or "setting"))
        return _within(resolve(before[0]).scenario, name or "setting", policy)
    try:
        scenario = resolve(before[0] if before else None).scenario
    except Refusal:
        if before or setting not in PRESETS:
            raise
        return Wanted(PRESETS[setting], Origin(setting))  # it needs no scenario
    if setting in scenario.settings:
        return _within(scenario, setting, scenario.settings[setting])
    if setting in PRESETS:
        policy = PRESETS[setting]
        return _within(scenario, setting, policy) if before else Wanted(policy, Origin(setting))
    from scenarios.documents import did_you_mean

    remedy = did_you_mean(setting, [*scenario.settings, *PRESETS], "the settings and presets are")
    raise Refusal(
        f"{_shown(setting)} is neither a setting of {scenario.name} nor a preset; {remedy}", UNUSABLE
    )


def _is_yaml(setting: str) -> bool:
    """Say whether the word is a setting itself: a name holds none of these."""
    return any(mark in setting for mark in "{}:\n") or not setting.strip()


def _read(text: str) -> tuple[str | None, PollingPolicy]:
    from scenarios import read_setting
    from scenarios.documents import DocumentError

    try:
        return read_setting(text)
    except DocumentError as error:
        raise Refusal(str(error), UNUSABLE) from error


def _within(scenario: Scenario, name: str, policy: PollingPolicy) -> Wanted:
    typical_s = None if scenario.job is None else float(scenario.job.duration.mean())
    known = typical_s if typical_s is not None and math.isfinite(typical_s) else None
    return Wanted(policy, Origin(name, scenario.name, scenario.question), known)


def written(found: Wanted, form: str, nearest: bool) -> Exported:
    """Return the setting in that form, or raise ``Refusal`` saying what the form cannot express."""
    try:
        return export_setting(found.policy, form, found.origin, typical_s=found.typical_s, nearest=nearest)
    except CannotExpress as error:
        raise Refusal(str(error), UNUSABLE) from error


def save(text: str, file: str) -> None:
    """Write a new file, or raise ``Refusal``: what is there already is never overwritten."""
    try:
        with Path(file).open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise Refusal(f"{file} exists; it is not overwritten: give --out another name", UNUSABLE) from None
    except OSError as error:
        raise Refusal(f"{file} cannot be written: {error.strerror}", UNUSABLE) from error


def _shown(word: str) -> str:
    return repr(word if len(word) <= _LONGEST_WORD else word[: _LONGEST_WORD - 3] + "...")
