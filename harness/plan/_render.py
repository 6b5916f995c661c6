"""The plan as text: fits 80 columns, and is plain where there is no colour."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.measure import Page, grid, in_seconds, number, percent
from harness.plan._answer import Plan, SettingPlan, Sizing, Variation

_MOST_POINTS: Final = 8  # of the frontier's points that are shown
_WORTH_A_COLUMN: Final = 0.001  # lost jobs


def render_plan(plan: Plan, width: int | None = None, *, colour: bool = False) -> str:
    """Return the plan as text of at most ``width`` columns (None: the terminal's, or 80 in a pipe)."""
    page = Page(width, colour=colour)
    named = plan.recommendation
    page.print(
        Text.assemble("Recommendation: ", (f"ship {named.setting}" if named.setting else "none", "bold"))
    )
    page.print(Padding(Text(named.why), (0, 0, 0, 2)))
    if named.yaml is not None:
        page.print()
        # Never wrapped: it is there to be pasted.
        page.print(Text(f"  {named.yaml}", "green"), soft_wrap=True)
        code = shlex.join(["python", "-m", "harness", "export", named.yaml, "--to", "python"])
        page.print(Text(f"  {code}"), soft_wrap=True)
    page.print()
    page.print(_settings("The scenario's settings", plan.settings, named.setting))
    if plan.alternatives:
        page.print()
        page.print(_settings("The best of each kind", plan.alternatives, None))
    if plan.robustness:
        page.print()
        page.print(_robustness(plan.robustness))
    page.print()
    page.print(_limit(plan))
    page.print(Text(_price(plan)))
    page.print()
    page.print(_sizing(plan.sizing))
    page.print(Text(plan.sizing.how))
    page.print()
    for note in plan.notes:
        page.print(_item(note))
    return page.text()


def _settings(title: str, settings: Mapping[str, SettingPlan], best: str | None) -> Table:
    table = grid(title, gap=1)
    table.add_column("setting", overflow="fold")
    judged = any(each.meets is not None for each in settings.values())
    losing = any(each.lost_share > _WORTH_A_COLUMN for each in settings.values())
    headings = ["polls\n/job", "mean\nlag, s", "p95\nlag, s", "least\npolls", "times\nlimit"]
    headings += ["jobs\nlost"] if losing else []
    headings += ["meets\nall"] if judged else []
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, each in settings.items():
        cells = [
            number(each.polls),
            _lag(each.lag_s),
            number(each.lag_p95_s),
            number(each.polls_at_same_lag),
            number(each.ratio),
        ]
        if losing:
            cells.append(percent(each.lost_share))
        if judged:
            cells.append("yes" if each.meets else "no")
        table.add_row(Text(name), *cells, style="bold" if name == best else None)
    return table


def _robustness(rows: Sequence[Variation]) -> Table:
    table = grid("If the durations are not as assumed", gap=1)
    table.add_column("durations", overflow="fold")
    table.add_column("setting", overflow="fold")
    for heading in ("polls\n/job", "mean\nlag, s", "p95\nlag, s", "times\nlimit"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("misses", overflow="fold")
    before = ""
    for each in rows:
        table.add_row(
            Text(each.durations if each.durations != before else ""),
            Text(each.setting),
            number(each.polls),
            _lag(each.lag_s),
            number(each.lag_p95_s),
            number(each.ratio),
            Text(", ".join(each.missed)),
        )
        before = each.durations
    return table


def _limit(plan: Plan) -> Table:
    table = grid("The limit: no schedule has fewer polls for that mean lag", gap=1)
    for heading in ("a poll is worth", "polls/job", "mean lag", "schedule"):
        table.add_column(heading, justify="left" if heading == "schedule" else "right", overflow="fold")
    step = max(1, -(-len(plan.frontier) // _MOST_POINTS))
    shown = {id(each): each for each in [*plan.frontier[::step], plan.optimum]}
    for each in sorted(shown.values(), key=lambda point: point.cost_per_poll_s):
        times = ", ".join(number(time) for time in each.schedule_s[:3])
        table.add_row(
            in_seconds(each.cost_per_poll_s),
            number(each.polls),
            in_seconds(each.lag_s),
            f"{times}{', …' if len(each.schedule_s) > 3 else ''} s",
            style="bold" if each is plan.optimum else None,
        )
    return table


def _price(plan: Plan) -> str:
    best = plan.optimum
    return (
        f"At {in_seconds(best.cost_per_poll_s)} of lag per poll ({plan.cost_reason}) the best schedule has "
        f"{number(best.polls)} polls per job and a mean lag of {in_seconds(best.lag_s)}."
    )


def _sizing(sizing: Sizing) -> Table:
    table = grid(f"Status requests for {sizing.jobs_per_day:,.0f} jobs a day", gap=1)
    table.add_column("setting", overflow="fold")
    for heading in ("mean/s", "peak/s", "cores"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, each in sizing.settings.items():
        mean, peak = each.requests_per_second_mean, each.requests_per_second_peak
        table.add_row(Text(name), number(mean), number(peak), number(each.cores))
    return table


def _lag(seconds: float) -> str:
    return number(None if seconds == float("inf") else seconds)


def _item(note: str) -> Table:
    """Return a list item whose lines hang."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_row("-", Text(note))
    return table
