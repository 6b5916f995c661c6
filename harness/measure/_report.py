"""report.html: one file that opens offline, made of the results and the rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from markupsafe import Markup

from harness.measure._charts import charts, describe_load_versus_lag, styles_of
from harness.measure._figures import FIGURES, VERDICTS, ComparisonRow, Figure, SettingFigures
from harness.measure._numbers import number
from harness.measure._recommend import bound, headline
from harness.measure._results import Results
from harness.measure._rows import Run
from harness.measure._verdicts import change, heading, span

# The legend's keys, drawn as the charts draw them: marker paths around (0, 0) and dash patterns.
_SHAPES: Final = {
    "circle": "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0",
    "square": "M-5,-5h10v10h-10z",
    "diamond": "M0,-6l6,6l-6,6l-6,-6z",
    "triangle-up": "M0,-6l6,10h-12z",
    "cross": "M-2,-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    "x": "M-6,-4l2,-2l4,4l4,-4l2,2l-4,4l4,4l-2,2l-4,-4l-4,4l-2,-2l4,-4z",
    "star": "M0,-7l1.8,4.6h5l-4,3l1.5,5l-4.3,-3l-4.3,3l1.5,-5l-4,-3h5z",
    "hexagon": "M-5,-3l5,-3l5,3v6l-5,3l-5,-3z",
}
_DASH_PATTERNS: Final = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}

_SEVERITY: Final = ("invalid", "warn", "pass")


def render_report(results: Results, run: Run) -> str:
    """Return the report as one HTML page without outside references; the same input gives the same text."""
    # Loaded here, for Plotly is large and few who use this room make a page.
    from jinja2 import Environment
    from plotly.offline import get_plotlyjs

    environment = Environment(autoescape=True, trim_blocks=False, keep_trailing_newline=True)
    template = environment.from_string(
        files("harness.measure").joinpath("report.html").read_text(encoding="utf-8")
    )
    return template.render(
        r=results,
        jobs=sum(figures.jobs.submitted for figures in results.settings.values()),
        started_at=results.started_at.replace("T", " ").replace("+00:00", " UTC"),
        trust=results.worst_status,
        trust_by_severity=sorted(results.trust, key=lambda check: _SEVERITY.index(check.status)),
        limits=any(figures.limit for figures in results.settings.values()),
        repeats=len({visit.repeat for visit in run.visits}),
        columns=_columns(),
        headline=headline(results),
        compared=[heading(metric) for metric in _metrics(results)],
        comparison=_comparison(results),
        verdicts=VERDICTS,
        environment=_flat(results.environment),
        styles=styles_of(list(results.settings)),
        shapes=_SHAPES,
        dashes=_DASH_PATTERNS,
        alt=describe_load_versus_lag(results),
        number=number,
        note=_note,
        estimates=any(figures.detection_lag_s.basis == "interval" for figures in results.settings.values()),
        change=change,
        span=span,
        bound=bound,
        figures=_script_json(charts(results, run)),
        plotly=_script(get_plotlyjs()),
    )


def _script_json(value: object) -> Markup:
    """Return JSON that can stand in a script element: it holds no character that HTML gives a meaning to."""
    text = json.dumps(value, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - made safe just above


def _script(source: str) -> Markup:
    """Return a script's source that cannot close its own element."""
    return Markup(source.replace("</script", "<\\/script"))  # noqa: S704 - Plotly's own source


def _columns() -> list[tuple[Markup, list[Figure]]]:
    """Return each column of the page with its heading; some figures stand beside another one."""
    columns: list[tuple[Markup, list[Figure]]] = []
    for figure in FIGURES.values():
        if figure.page:
            columns.append((Markup("<br>").join(figure.page.split("\n")), [figure]))
        elif figure.page is not None:
            columns[-1][1].append(figure)
    return columns


def _note(figure: Figure, figures: SettingFigures) -> str:
    half = figure.half_width(figures)
    spread = "" if half is None else f"± {number(half, 2)}"
    return ", ".join(said for said in (spread, figure.note(figures)) if said)


def _comparison(results: Results) -> dict[str, list[ComparisonRow | None]]:
    rows = {(row.setting, row.metric): row for row in results.comparison}
    names = dict.fromkeys(row.setting for row in results.comparison)
    return {name: [rows.get((name, metric)) for metric in _metrics(results)] for name in names}


def _metrics(results: Results) -> list[str]:
    return list(dict.fromkeys(row.metric for row in results.comparison))


def _flat(environment: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs = []
    for name, value in environment.items():
        if name == "packages" and isinstance(value, Mapping):
            pairs.append(("packages", ", ".join(f"{key} {each}" for key, each in value.items())))
        elif isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{name} ")
        else:
            pairs.append((f"{prefix}{name}".replace("_", " "), str(value)))
    return pairs
