"""The box at the top of the report: what to ship, what that saves and costs, how sure it is, what to copy."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import yaml

from harness.measure._figures import ComparisonRow, SettingFigures
from harness.measure._numbers import in_seconds, number, percent
from harness.measure._recommend import headline, is_no_choice
from harness.measure._results import SURE, Results
from scenarios import original_yaml

Tone = Literal["good", "plain", "warn", "bad"]

_INVALID: Final = "No verdict: these numbers cannot be trusted"
_NONE: Final = "No setting to recommend"


@dataclass(frozen=True)
class Bar:
    """A setting's figure as a bar; ``share`` is its length, of the longest one's."""

    words: str
    role: str
    text: str
    share: float
    setting: str | None


@dataclass(frozen=True)
class Answer:
    """What the box says.

    ``gain`` is what the setting saves and costs against the baseline or, if it is that, the next best;
    ``bars`` hold them side by side in polls and in lag. ``sure`` says how certain the choice is. ``yaml`` and
    ``command`` are to be copied. All but ``title`` and ``tone`` are empty where nothing is recommended.
    """

    tone: Tone
    title: str
    gain: str = ""
    sure: str = ""
    yaml: str = ""
    command: str = ""
    bars: tuple[tuple[str, tuple[Bar, ...]], ...] = ()


def answer(results: Results) -> Answer:
    """Return what the box says of these results."""
    found = results.recommendation
    if found.setting is None:
        invalid = not results.is_trustworthy
        return Answer("bad" if invalid else "warn", _INVALID if invalid else _NONE)
    words = headline(results)
    shipped = bool(results.objectives or found.rival)
    reference = _reference(results, found.setting)
    return Answer(
        tone="warn" if found.rival else "good" if shipped else "plain",
        title=f"{words[0].upper()}{words[1:]}" if shipped else words,  # else it begins with a setting's name
        gain=_gain(results, found.setting, reference),
        sure=_sure(results),
        yaml=_yaml(found.setting, results.scenario.text),
        command=shlex.join(
            ["python", "-m", "harness", "export", "scenario.yaml", found.setting, "--to", "python"]
        ),
        bars=_bars(results, found.setting, reference),
    )


def _reference(results: Results, named: str) -> str | None:
    """Return what the named setting is held against: the baseline, or if it is that the next best setting."""
    if results.baseline in results.settings and results.baseline != named:
        return results.baseline
    others = {name: each for name, each in results.settings.items() if name != named and _known(each)}
    if results.recommendation.rival in others:
        return results.recommendation.rival
    meeting = {name: each for name, each in others.items() if each.meets_objectives}
    able = meeting or others

    def cost(name: str) -> float:
        polls, lag = able[name].polls_per_job.mean or 0.0, able[name].detection_lag_s.mean or 0.0
        return polls if results.objectives else polls * lag

    return min(able, key=cost, default=None)


def _known(figures: SettingFigures) -> bool:
    return figures.polls_per_job.mean is not None and figures.detection_lag_s.mean is not None


def _gain(results: Results, named: str, reference: str | None) -> str:
    """Return the saving and its price in words: "44 % fewer status requests ..., news 540 ms later ..."."""
    if reference is None:
        return ""
    # The comparison holds every setting against the baseline; if that is the one named, read it backwards.
    backwards = reference != results.baseline
    if backwards and named != results.baseline:
        return ""
    other = reference if backwards else named
    rows = {row.metric: row for row in results.comparison if row.setting == other}
    said = [each for each in (_polls_words(rows, reference, backwards), *_lag_words(rows)) if each]
    if not said:
        return ""
    text = ", ".join(said)
    if backwards:
        return f"The baseline itself. {reference}, the nearest other setting: {text}."
    return f"{text[0].upper()}{text[1:]}."


def _polls_words(rows: dict[str, ComparisonRow], reference: str, backwards: bool) -> str:
    row = rows.get("polls_per_job")
    if row is None or row.relative is None:
        return ""
    than = "" if backwards else f" than {reference}"
    fewer = "fewer" if row.relative < 0 else "more"
    if row.verdict in ("better", "worse"):
        return f"{percent(abs(row.relative))} {fewer} status requests{than}"
    if row.verdict == "equivalent":
        return "as many status requests" + (f" as {reference}" if than else "")
    return f"perhaps {percent(abs(row.relative))} {fewer} status requests{than} (these jobs do not tell)"


def _lag_words(rows: dict[str, ComparisonRow]) -> Iterator[str]:
    row = rows.get("detection_lag_s")
    if row is not None and row.difference is not None:
        later = f"{in_seconds(abs(row.difference))} {'sooner' if row.difference < 0 else 'later'}"
        if row.verdict in ("better", "worse"):
            yield f"news {later} on average"
        else:
            yield "news as soon" if row.verdict == "equivalent" else f"news perhaps {later}"
    row = rows.get("lost_share")
    if row is not None and row.difference and row.verdict in ("better", "worse"):
        more = "fewer" if row.difference < 0 else "more"
        yield f"{number(abs(row.difference) * 100)} points {more} jobs lost"


def _sure(results: Results) -> str:
    found = results.recommendation
    if is_no_choice(results.settings, results.objectives):
        return "there was nothing to choose"
    if found.confidence is None:
        return "unknown: this run was not repeated in the twin"
    share = percent(found.confidence)
    surely = "not sure" if found.rival or found.confidence < SURE else "sure"
    return f"{surely}: {share} of the simulated repeats of this run name {found.setting}"


def _yaml(name: str, text: str) -> str:
    """Return the setting as its scenario has it, on one line; nothing where the text is no such scenario."""
    try:
        return original_yaml(name, text)
    except (yaml.YAMLError, KeyError, TypeError):
        return ""


def _bars(results: Results, named: str, reference: str | None) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
    roles = {named: "named"}
    if reference is not None:
        roles[reference] = "baseline" if reference == results.baseline else "next"
    if results.recommendation.rival:
        roles.setdefault(results.recommendation.rival, "rival")
    polls = [(name, role, results.settings[name].polls_per_job.mean, name) for name, role in roles.items()]
    lags = [(name, role, results.settings[name].detection_lag_s.mean, name) for name, role in roles.items()]
    offered = results.plan
    if offered is not None and offered.polls_per_job is not None:
        polls.append(("found by plan", "plan", offered.polls_per_job, ""))
        lags.append(("found by plan", "plan", offered.mean_lag_s, ""))
    if len(polls) == 1:
        return ()  # it is as long as itself
    return (
        ("Status requests per job", _scaled(polls, number)),
        ("Mean time until the client knows", _scaled(lags, in_seconds)),
    )


def _scaled(
    bars: list[tuple[str, str, float | None, str]], text: Callable[[float | None], str]
) -> tuple[Bar, ...]:
    most = max((value for _, _, value, _ in bars if value is not None), default=0.0) or 1.0
    return tuple(
        Bar(words, role, text(value), round((value or 0.0) / most, 4), setting or None)
        for words, role, value, setting in bars
    )
