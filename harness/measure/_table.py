"""The results as text: fits 80 columns, and is plain where there is no colour."""

import shutil
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.measure._numbers import half_width, number, percent

METRIC_HEADINGS = {
    "detection_lag_s": "mean lag",
    "polls_per_job": "polls/job",
    "completion_latency_s": "latency",
    "lost_share": "lost jobs",
}
LEGEND = "less is better; ≈ not distinguishable at 95 %, all comparisons together"
VERDICTS = {"better": "better", "worse": "worse", "indistinguishable": "≈"}
STYLES = {"better": "green", "worse": "red", "pass": "green", "warn": "yellow", "invalid": "bold red"}


def render_table(results: Mapping[str, Any], width: int | None = None, *, colour: bool = False) -> str:
    """The results as text of at most ``width`` columns (None: the terminal's, or 80 in a pipe).

    ``colour`` adds ANSI colours, for a terminal.
    """
    text = StringIO()
    console = _console(text, width, colour)
    jobs = sum(figures["jobs"]["submitted"] for figures in results["settings"].values())
    what = (
        f", {results['engine']}: {len(results['settings'])} settings, {jobs:,} jobs, seed {results['seed']}"
    )
    console.print(Text.assemble((results["scenario"]["name"], "bold"), what))
    if not results["complete"]:
        reason = results["incomplete_reason"] or "a visit was cut short"
        console.print(Text(f"INCOMPLETE: {reason}", "bold red"))
    console.print()
    console.print(_measurements(results))
    console.print()
    if results["comparison"]:
        console.print(_comparison(results["comparison"], f"Against {results['baseline']}"))
        console.print(Text(LEGEND + "\n"))
    console.print(_trust_line(results["trust"]))
    for check in results["trust"]:
        if check["status"] != "pass":
            line = Text.assemble((check["status"], STYLES[check["status"]]), f" {check['check']}: ")
            console.print(Padding(line.append(check["detail"]), (0, 0, 0, 2)))
    named = results["recommendation"]["setting"]
    console.print(Text.assemble("Recommendation: ", (f"ship {named}" if named else "none", "bold")))
    console.print(Padding(Text(results["recommendation"]["why"]), (0, 0, 0, 2)))
    return _tidy(text)


def render_comparison(
    rows: Sequence[Mapping[str, Any]], note: str, width: int | None = None, *, colour: bool = False
) -> str:
    """A comparison by itself, under a note that says what was compared."""
    text = StringIO()
    console = _console(text, width, colour)
    console.print(Text(note))
    console.print()
    console.print(_comparison(rows))
    console.print(Text(LEGEND + "\n"))
    return _tidy(text)


def _measurements(results: Mapping[str, Any]) -> Table:
    table = _grid()
    table.add_column("setting", overflow="fold")
    for heading in (
        "polls\n/job",
        "wasted\n/job",
        "lag, s\nmean",
        "\n±95%",
        "\np95",
        "latency\np95, s",
        "req/s\nmean",
        "\npeak",
        "jobs\nlost",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, figures in results["settings"].items():
        lag, load = figures["detection_lag_s"], figures["status_requests"]
        best = name == results["recommendation"]["setting"]
        table.add_row(
            Text(name),
            number(figures["polls_per_job"]["mean"]),
            number(figures["wasted_polls_per_job"]),
            number(lag["mean"]),
            number(half_width(lag["ci95"]), 2),
            number(lag["p95"]),
            number(figures["completion_latency_s"]["p95"]),
            number(load["per_second_mean"]),
            number(load["per_second_peak"]),
            number(figures["lost_jobs"]["n"]),
            style="bold" if best else None,
        )
    return table


def _comparison(rows: Sequence[Mapping[str, Any]], title: str = "") -> Table:
    """One line per setting, one column per metric: the relative difference and its verdict."""
    metrics = [name for name in METRIC_HEADINGS if any(row["metric"] == name for row in rows)]
    table = _grid(title)
    table.add_column("setting", overflow="fold")
    for metric in metrics:
        table.add_column(METRIC_HEADINGS[metric], justify="right", no_wrap=True)
    by_setting: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_setting.setdefault(row["setting"], {})[row["metric"]] = row
    for name, cells in by_setting.items():
        table.add_row(Text(name), *(_difference(cells.get(metric)) for metric in metrics))
    return table


def _difference(row: Mapping[str, Any] | None) -> Text:
    if row is None or row["difference"] is None:
        return Text("–")
    verdict = VERDICTS[row["verdict"]]
    return Text(f"{change(row)} {verdict}", STYLES.get(row["verdict"], ""))


def change(row: Mapping[str, Any]) -> str:
    """A difference in the most telling form: relative, or absolute where the reference is nothing."""
    if row["metric"] == "lost_share":
        points = row["difference"] * 100
        return f"{points:+.3g} points" if points else "0"
    if row["relative"] is None:
        return f"{'+' if row['difference'] > 0 else ''}{number(row['difference'])}"
    return percent(row["relative"], sign=True)


def _trust_line(trust: Sequence[Mapping[str, str]]) -> Text:
    counts = {
        status: sum(check["status"] == status for check in trust) for status in ("pass", "warn", "invalid")
    }
    line = Text("Trust: ")
    for status, words in (("pass", "passed"), ("warn", "with a warning"), ("invalid", "invalid")):
        if counts[status]:
            line.append("" if line.plain == "Trust: " else ", ")
            line.append(f"{counts[status]} {words}", STYLES[status])
    return line.append(f" of {len(trust)} checks")


def _console(text: StringIO, width: int | None, colour: bool) -> Console:
    return Console(
        file=text,
        width=width or shutil.get_terminal_size((80, 24)).columns,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
    )


def _tidy(text: StringIO) -> str:
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _grid(title: str = "") -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
        header_style="bold",
        title=Text(title) if title else None,
        title_justify="left",
        title_style="bold",
    )
