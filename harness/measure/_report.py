"""report.html: one file that opens offline, made of the results and the rows.

Its parts are in the folder ``page``: a template for each section, the style sheet, the script, and a
partial bundle of Plotly. Everything that a reader sees is made here or in the modules of the pictures; the
script only draws it, and follows what the reader chooses.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final

import yaml
from markupsafe import Markup

from harness.measure._answer import answer
from harness.measure._charts import lag_distribution, limit_curves, load_over_time, load_versus_lag
from harness.measure._figures import FIGURES, VERDICTS, Figure, SettingFigures
from harness.measure._numbers import in_seconds, number
from harness.measure._objectives import LOST_SHARE_ALLOWED
from harness.measure._pictures import Picture, places_of, styles_of
from harness.measure._recommend import bound, tied_settings
from harness.measure._results import Results
from harness.measure._rows import Run
from harness.measure._shares import herd, latency_parts
from harness.measure._timelines import timelines
from harness.measure._verdicts import change, heading, span, table_of
from scenarios.documents import counted, parse_seconds

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
_DASH_PATTERNS: Final = {
    "solid": "",
    "dash": "7 4",
    "dot": "2 3",
    "dashdot": "7 3 2 3",
    "longdash": "13 4",
}

_SEVERITY: Final = ("invalid", "warn", "pass")

_BEST: Final = "The best of all schedules needs"
_FITTED: Final = "The best of the schedules fitted to one half of the durations and tried on the other needs"

_DELAYS_SHOWN: Final = 5
"""Of a schedule beside the price of a request."""

_KEPT: Final = ("results.json", "scenario.yaml", "jobs.csv", "run.json")
"""Files that every run's folder has, and that people look for."""


def render_report(results: Results, run: Run) -> str:
    """Return the report as one HTML page without outside references; the same input gives the same text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness.measure", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    styles = styles_of(list(results.settings))
    pictures = _pictures(results, run)
    figures = {each.id: each.data() for each in pictures}
    weighed = _what_if(results, run)
    metrics, compared = table_of(results.comparison)
    scripts = [_part("plotly-basic.min.js"), _part("page.js")]
    return environment.get_template("report.html").render(
        r=results,
        answer=answer(results),
        jobs=sum(figures.jobs.submitted for figures in results.settings.values()),
        started_at=results.started_at.replace("T", " ").replace("+00:00", " UTC"),
        trust=results.worst_status,
        trust_by_severity=sorted(results.trust, key=lambda check: _SEVERITY.index(check.status)),
        limits=any(figures.limit for figures in results.settings.values()),
        columns=_columns(results.settings),
        pictures={each.id: each for each in pictures},
        what_if=bool(weighed),
        compared=[heading(metric) for metric in metrics],
        comparison={name: [cells.get(metric) for metric in metrics] for name, cells in compared.items()},
        verdicts=VERDICTS,
        outcomes=_counted(
            {name: each.jobs.model_dump() for name, each in results.settings.items()}, "submitted"
        ),
        replies=_counted({name: each.responses for name, each in results.settings.items()}),
        environment=_flat(results.environment),
        styles=styles,
        places=places_of(list(results.settings)),
        shapes=_SHAPES,
        dashes=_DASH_PATTERNS,
        number=number,
        plural=counted,
        note=_note,
        estimates=any(figures.detection_lag_s.basis == "interval" for figures in results.settings.values()),
        change=change,
        span=span,
        bound=bound,
        kept=_KEPT,
        data=_script_json({"pictures": figures, "whatIf": weighed}),
        css=Markup(_part("page.css")),  # noqa: S704 - our own
        scripts=[Markup(each) for each in scripts],  # noqa: S704 - our own, and Plotly's
        allowed=" ".join(
            f"'sha256-{b64encode(sha256(each.encode()).digest()).decode()}'" for each in scripts
        ),
    )


def _part(name: str) -> str:
    """Return a file of the page; what is put in a script element must not be able to end it."""
    text = files("harness.measure").joinpath("page", name).read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _pictures(results: Results, run: Run) -> list[Picture]:
    styles = styles_of(list(results.settings))
    found = (
        load_versus_lag(results, styles),
        timelines(run, styles),
        load_over_time(run, styles, _outages(results.scenario.text)),
        lag_distribution(results, run, styles),
        latency_parts(run, styles),
        herd(run, styles),
    )
    return [each for each in found if each is not None]


def _outages(scenario_text: str) -> list[tuple[float, float]]:
    """Return the (start, end) in seconds of the simulator's outages; none where the text is no scenario."""
    try:
        outages = yaml.safe_load(scenario_text)["service"]["outages"]
        spans = [(parse_seconds(each["start"]), parse_seconds(each["length"])) for each in outages]
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        return []
    return [(start, start + length) for start, length in spans]


def _counted(counts: Mapping[str, Mapping[str, int]], *always: str) -> dict[str, dict[str, int]]:
    """Return each setting's counts, without the columns that are zero throughout."""
    names = dict.fromkeys(name for each in counts.values() for name in each)
    shown = [name for name in names if name in always or any(each.get(name) for each in counts.values())]
    return {setting: {name: each.get(name, 0) for name in shown} for setting, each in counts.items()}


def _what_if(results: Results, run: Run) -> dict[str, Any] | None:
    """Return what a price of waiting is weighed on: the settings that can be recommended, and the limit.

    Of measured durations that is what schedules achieve on jobs that they were not fitted to, as ``plan``
    has it: the limit of the very sample promises too much. None where the run allows no verdict.
    """
    if not results.is_trustworthy:
        return None
    fitted = bool(results.limit_bound)
    curve = limit_curves(results)[-1][2] if results.limit_curve else []
    schedules = {
        (point.polls, point.lag_s): _delays(point.schedule_s)
        for point in results.limit_curve
        if point.schedule_s and not fitted
    }
    tied = tied_settings({name: run.jobs.filter(run.jobs["setting"] == name) for name in results.settings})
    settings = [
        {
            "setting": place,
            "name": name,
            "polls": figures.polls_per_job.mean,
            "lag": figures.detection_lag_s.mean,
        }
        for place, (name, figures) in enumerate(results.settings.items())
        if figures.detection_lag_s.mean is not None
        and figures.lost_jobs.share <= LOST_SHARE_ALLOWED
        and name not in tied
    ]
    if not settings:
        return None
    limit = [{"polls": polls, "lag": lag, "delays": schedules.get((polls, lag))} for polls, lag in curve]
    return {"settings": settings, "curve": limit, "best": _FITTED if fitted else _BEST}


def _delays(schedule_s: Sequence[float]) -> list[str]:
    """Return the first delays of a schedule, and a mark where there are more."""
    delays = [later - earlier for earlier, later in pairwise([0.0, *schedule_s])]
    more = ["…"] if len(delays) > _DELAYS_SHOWN else []
    return [*map(in_seconds, delays[:_DELAYS_SHOWN]), *more]


def _script_json(value: object) -> Markup:
    """Return JSON that can stand in a script element: it holds no character that HTML gives a meaning to."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - made safe just above


def _columns(settings: Mapping[str, SettingFigures]) -> list[tuple[str, list[Figure]]]:
    """Return each column that says something, with its heading; some figures stand beside another one."""
    columns: list[tuple[str, list[Figure]]] = []
    for figure in FIGURES.values():
        if figure.page:
            columns.append((_in_lines(figure.page), [figure]))
        elif figure.page is not None:
            columns[-1][1].append(figure)
    known = settings.values()
    return [
        (heading, shown)
        for heading, shown in columns  # some say something in live runs alone
        if not known or any(each.read(figures) is not None for each in shown for figures in known)
    ]


def _in_lines(heading: str) -> str:
    """Return the heading with spaces that break no line but where it was written in two."""
    return heading.replace(" ", "\u00a0").replace("\n", " ")


def _note(figure: Figure, figures: SettingFigures) -> str:
    half = figure.half_width(figures)
    spread = "" if half is None else f"± {number(round(half, 9), 2)}"
    return ", ".join(said for said in (spread, figure.note(figures)) if said)


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
