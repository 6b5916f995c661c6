"""A comparison of runs in every form that ``compare --format`` prints: for people, machines, pull requests.

Names of folders and whatever a scenario says are a user's text: each form lets none of it become markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from harness.measure._compare_runs import RunComparison
from harness.measure._figures import FIGURES, VERDICTS, ComparisonRow
from harness.measure._numbers import number
from harness.measure._pages import render_page
from harness.measure._table import LEGEND, render_comparison
from harness.measure._verdicts import change, heading, is_time, span, table_of
from scenarios.documents import counted, printable

_STRUCTURE: Final = re.compile(r"[^\w -]|_")
"""What Markdown could take for more than text."""


def _table(comparison: RunComparison) -> str:
    return render_comparison(comparison)


def _json(comparison: RunComparison) -> str:
    return json.dumps(comparison.to_json(), indent=2) + "\n"


# -- Markdown ----------------------------------------------------------------------------------------


def _markdown(comparison: RunComparison) -> str:
    """Return what fits into a comment on GitHub: the verdict, one line per setting, what differs."""
    metrics, rows = table_of(comparison.rows)
    lines = [f"### {'❌' if comparison.worse else '✅'} Polling backoff: {_verdict(comparison, _code)}", ""]
    lines += [f"| setting | {' | '.join(heading(metric) for metric in metrics)} |"]
    lines += ["|:--|" + "--:|" * len(metrics)]
    for name, cells in rows.items():
        lines.append(f"| {_code(name)} | {' | '.join(_cell(cells.get(metric)) for metric in metrics)} |")
    lines += ["", f"{LEGEND[0].upper()}{LEGEND[1:]}.", ""]
    lines += [f"- missed: {_code(said)}" for said in comparison.missed]
    lines += [f"- differs: {_code(said)}" for said in comparison.differs]
    lines += [f"- compared: {_code(said)}" for said in comparison.note.split("\n")]
    return "\n".join(lines) + "\n"


def _cell(row: ComparisonRow | None) -> str:
    if row is None or row.difference is None:
        return "–"
    said = f"{change(row)} {VERDICTS[row.verdict]}"
    return f"**{said}**" if row.verdict == "worse" else said


def _code(text: str) -> str:
    """Return somebody's text as code, in which GitHub looks for no mention and no link.

    All that Markdown could take for structure is a character reference, which never is (CommonMark, 2.5): a
    backslash would not do for pipes in tables, nor a fence of backticks for text that has some.
    """
    safe = _STRUCTURE.sub(lambda found: f"&#{ord(found[0])};", printable(text))
    return f"<code>{safe}</code>"


# -- JUnit -------------------------------------------------------------------------------------------


def _junit(comparison: RunComparison) -> str:
    """Return one test case per setting and metric, and one per objective that is missed now.

    A case fails where it is what makes ``compare`` end with 1: of one run a trade is no failure.
    """
    from junitparser import Failure, JUnitXml, TestCase, TestSuite

    suites = JUnitXml("backoff")
    for run in dict.fromkeys(comparison.runs):
        suite = TestSuite(printable(run))
        for key, said in (("compared", comparison.note.split("\n")), ("differs", comparison.differs)):
            for each in said:
                suite.add_property(key, printable(each))
        for row, of in zip(comparison.rows, comparison.runs, strict=True):
            if of != run:
                continue
            case = TestCase(heading(row.metric), printable(row.setting))
            if row.verdict == "worse" and row.setting in comparison.worse:
                case.result = [Failure(_said(row), row.verdict)]
            case.system_out = _said(row)
            suite.add_testcase(case)
        suites.add_testsuite(suite)
    if comparison.missed:
        suite = TestSuite("objectives")
        for missed in map(printable, comparison.missed):
            case = TestCase(missed, "objectives")
            case.result = [Failure(f"missed now: {missed}", "missed")]
            suite.add_testcase(case)
        suites.add_testsuite(suite)
    text = suites.tostring().decode()  # type: ignore[no-untyped-call]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _said(row: ComparisonRow) -> str:
    """Return a row's figures in a line."""
    if row.difference is None:
        return f"no difference: {printable(row.reason or 'unknown')}"
    points = row.metric in FIGURES and FIGURES[row.metric].points
    unit = " s" if is_time(row.metric) else " points" if points else ""
    reason = f"; {printable(row.reason)}" if row.reason else ""
    jobs = f"{counted(row.pairs, 'job')} in pairs" if row.pairs else "not paired"
    return (
        f"{row.verdict}: {change(row)}; difference {span(row)}{unit}, at 95 % together; matters from "
        f"{number(row.margin)}{unit}; {jobs}{reason}"
    )


# -- HTML --------------------------------------------------------------------------------------------


def _html(comparison: RunComparison) -> str:
    """Return a page of its own, without scripts or outside references."""
    metrics, rows = table_of(comparison.rows)
    return render_page(
        "harness.measure",
        "compared.html",
        c=comparison,
        rows=rows,
        metrics={metric: heading(metric) for metric in metrics},
        verdict=_verdict(comparison, printable),
        verdicts=VERDICTS,
        legend=LEGEND,
        change=change,
        span=span,
    )


# ----------------------------------------------------------------------------------------------------


def _verdict(comparison: RunComparison, spell: Callable[[str], str]) -> str:
    if comparison.worse:
        return f"worse: {', '.join(map(spell, comparison.worse))}"
    return "nothing is worse"


COMPARISON_FORMATS: Final[Mapping[str, Callable[[RunComparison], str]]] = MappingProxyType(
    {"table": _table, "json": _json, "markdown": _markdown, "junit": _junit, "html": _html}
)
"""The forms of ``compare --format``: each returns the whole document, which ends in a line feed."""
