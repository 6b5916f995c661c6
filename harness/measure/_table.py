"""The results as text: fits 80 columns, and is plain where there is no colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.measure._compare_runs import RunComparison
from harness.measure._figures import ESTIMATE_MARK, FIGURES, VERDICTS, ComparisonRow
from harness.measure._numbers import number
from harness.measure._recommend import headline
from harness.measure._results import Check, Results
from harness.measure._text import Page, grid
from harness.measure._verdicts import change, heading, table_of
from scenarios.documents import counted, printable

LEGEND: Final = "less is better; = no difference that matters, ≈ no verdict; all at 95 % together"
"""How to read a table of differences."""

_STYLES: Final = {"better": "green", "worse": "red", "pass": "green", "warn": "yellow", "invalid": "bold red"}


def render_table(results: Results, width: int | None = None, *, colour: bool = False) -> str:
    """Return the results as text of at most ``width`` columns (None: the terminal's, or 80 in a pipe).

    ``colour`` adds ANSI colours, for a terminal.
    """
    console = Page(width, colour=colour)
    jobs = sum(figures.jobs.submitted for figures in results.settings.values())
    size = f"{counted(len(results.settings), 'setting')}, {counted(jobs, 'job')}"
    what = f", {results.engine}: {size}, seed {results.seed}"
    console.print(Text.assemble((results.scenario.name, "bold"), what))
    if not results.complete:
        reason = results.incomplete_reason or "a visit was cut short"
        console.print(Text(f"INCOMPLETE: {reason}", "bold red"))
    console.print()
    console.print(_measurements(results))
    console.print()
    if any(each.detection_lag_s.basis == "interval" for each in results.settings.values()):
        console.print(_estimates(results))
    if results.comparison:
        _print_comparison(console, results.comparison, f"Against {results.baseline}")
    console.print(_trust_line(results.trust))
    for check in results.trust:
        if check.status != "pass":
            line = Text.assemble((check.status, _STYLES[check.status]), f" {check.check}: ")
            console.print(Padding(line.append(check.detail), (0, 0, 0, 2)))
    console.print(Text.assemble("Recommendation: ", (headline(results), "bold")))
    console.print(Padding(Text(results.recommendation.why), (0, 0, 0, 2)))
    console.print(Text(f"Intervals: {results.intervals.note}."))
    if results.headroom:
        console.print(Text(results.headroom.words()))
    if results.plan and (said := results.plan.words()) and results.worst_status != "invalid":
        console.print(Text(said), soft_wrap=True)  # it ends in a command, there to be pasted
    return console.text()


def render_comparison(comparison: RunComparison, width: int | None = None, *, colour: bool = False) -> str:
    """Return a comparison of runs as text, as ``render_table`` does, below what was compared."""
    console = Page(width, colour=colour)
    for line in comparison.note.split("\n"):
        console.print(Text(printable(line)))
    for line in comparison.differs:
        console.print(Text(f"differs: {printable(line)}"))
    console.print()
    _print_comparison(console, comparison.rows)
    for line in comparison.missed:
        console.print(Text(f"missed: {printable(line)}", "red"))
    worse = ", ".join(comparison.worse)
    return console.text() + (f"Worse: {worse}.\n" if worse else "Nothing is worse.\n")


def _measurements(results: Results) -> Table:
    """Return one line per setting, one column per figure that the table shows."""
    shown = [figure for figure in FIGURES.values() if figure.table is not None]
    table = grid()
    table.add_column("setting", overflow="fold")
    for figure in shown:
        for name in (figure.table, figure.spread):
            if name is not None:
                table.add_column(name, justify="right", no_wrap=True)
    for name, figures in results.settings.items():
        cells = []
        for figure in shown:
            cells.append(figure.text(figures))
            if figure.spread is not None:
                cells.append(number(figure.half_width(figures), 2))
        best = name == results.recommendation.setting
        table.add_row(Text(name), *cells, style="bold" if best else None)
    return table


def _estimates(results: Results) -> Text:
    """Say what is certain of lags that are estimates, and what no number of jobs would tell."""
    text = Text(f"{ESTIMATE_MARK} an estimate: the service does not say when jobs finish. Mean lag of\n")
    for name, figures in results.settings.items():
        lag = figures.detection_lag_s
        if lag.bounds_mean is not None:
            certain = f"certainly {number(lag.bounds_mean[0])} to {number(lag.bounds_mean[1])} s"
            text.append(f"  {name}: {certain}; the polls leave {number(lag.unresolved_s, 2)} s open\n")
    return text


def _print_comparison(console: Page, rows: Sequence[ComparisonRow], title: str = "") -> None:
    """Print one line per setting, one column per metric: the relative difference and its verdict."""
    metrics, settings = table_of(rows)
    table = grid(title)
    table.add_column("setting", overflow="fold")
    for metric in metrics:
        table.add_column(heading(metric), justify="right", no_wrap=True)
    for name, cells in settings.items():
        table.add_row(Text(name), *(_difference(cells.get(metric)) for metric in metrics))
    console.print(table)
    console.print(Text(LEGEND + "\n"))


def _difference(row: ComparisonRow | None) -> Text:
    if row is None or row.difference is None:
        return Text("–")
    return Text(f"{change(row)} {VERDICTS[row.verdict]}", _STYLES.get(row.verdict, ""))


def _trust_line(trust: Sequence[Check]) -> Text:
    line = Text("Trust: ")
    for status, words in (("pass", "passed"), ("warn", "with a warning"), ("invalid", "invalid")):
        if count := sum(check.status == status for check in trust):
            line.append("" if line.plain == "Trust: " else ", ")
            line.append(f"{count} {words}", _STYLES[status])
    return line.append(f" of {counted(len(trust), 'check')}")
