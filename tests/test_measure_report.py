"""results.json, the table and the report: valid, reproducible, self-contained and safe."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import polars as pl
import pytest
from measure_records import info_of, job, polls_of, results_of, run_of, twin_of_rows, visits_of

from harness.measure import (
    COMPARED,
    FIGURES,
    JobRow,
    Limit,
    Limits,
    Offer,
    Results,
    RunFolder,
    RunUnusable,
    ScenarioInfo,
    analyse,
    job_frame,
    poll_aggregates,
    poll_frame,
    render_report,
    render_table,
    results_schema,
    write_report,
)
from harness.measure._figures import job_values
from harness.measure._numbers import in_seconds, number, percent
from harness.measure._pictures import log_axis, mark, styles_of
from harness.measure._timelines import timelines

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LAGS = np.random.default_rng(29).exponential(1.0, 120)
JOBS = [
    job(name, key, lag=float(lag) * factor, polls=polls, outcome="timeout" if key == 7 else "completed")
    for name, factor, polls in (("constant-1s", 1.0, 4), ("exponential-full-jitter", 2.0, 3))
    for key, lag in enumerate(LAGS)
]
LIMITS = Limits({"constant-1s": Limit(polls_at_same_lag=3.1, ratio=1.29)}, ((2.0, 3.0), (4.0, 0.8)))


def saved(root: Path, jobs: Sequence[JobRow] = JOBS, *, reduced: bool = False, **changes: Any) -> Path:
    """A run's folder with these jobs."""
    folder = RunFolder.create(root, "sample", NOW)
    polls = polls_of(jobs)
    folder.write(
        info_of(jobs, **changes), visits_of(jobs), jobs, poll_aggregates(polls) if reduced else polls
    )
    return folder.path


VALIDATOR = jsonschema.Draft202012Validator(results_schema())
ACCEPTED = results_of(run_of(JOBS, objectives={"lag_p95": 2.0}), LIMITS)


@pytest.mark.parametrize(
    "results",
    [
        analyse(run_of(JOBS, objectives={"lag_p95": 2.0, "lag_p99": 3.0, "polls_per_job": 9.0})),
        analyse(run_of(JOBS), LIMITS),
        analyse(run_of([job()])),
        analyse(run_of([], settings={"a": "x"}, incomplete="interrupted", objectives={"lag_p95": 1.0})),
        analyse(run_of([], settings={})),
        analyse(run_of([job(key=key, outcome="timeout") for key in range(9)], objectives={"lag_max": 1.0})),
    ],
    ids=["objectives", "limits", "one job", "no jobs", "no settings", "all lost"],
)
def test_results_follow_their_schema(results: Results) -> None:
    """Whatever the run, the results are strict JSON that the published schema accepts, and have a table."""
    text = json.dumps(results.to_json(), allow_nan=False)
    jsonschema.Draft202012Validator.check_schema(results_schema())
    VALIDATOR.validate(results.to_json())
    assert Results.model_validate_json(text) == results
    assert "Recommendation" in render_table(results, 80)


SETTING = ("settings", "constant-1s")
LAG = (*SETTING, "detection_lag_s")


def test_the_schema_accepts_what_the_next_proof_spoils() -> None:
    """Else what it refuses would prove nothing."""
    VALIDATOR.validate(ACCEPTED)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("engine",), "imagined"),
        (("seed",), 1.5),
        (("complete",), "yes"),
        (("scenario", "sha256"), "abc"),
        (("environment",), []),
        (("objectives", "lag_p95"), "2 s"),
        (("more",), 1),
        ((*SETTING, "jobs", "completed"), -1),
        ((*SETTING, "jobs", "vanished"), 1),
        ((*SETTING, "lost_jobs", "share"), 1.1),
        ((*LAG, "p96"), 1.0),
        ((*LAG, "mean"), "0.5"),
        ((*LAG, "ci95"), [1.0]),
        ((*LAG, "ci95"), [1.0, 2.0, 3.0]),
        ((*LAG, "quantiles_ci95", "p75"), [1.0, 2.0]),
        ((*SETTING, "polls_per_job", "p90"), 1.0),
        ((*SETTING, "status_requests", "measured_s"), -1.0),
        ((*SETTING, "status_requests", "per_second_peak"), 0.5),
        ((*SETTING, "responses", "200"), -1),
        ((*SETTING, "limit", "polls_at_same_lag"), "few"),
        ((*SETTING, "objectives", "lag_p95", "met"), "perhaps"),
        (("comparison", 0, "metric"), "beauty"),
        (("comparison", 0, "verdict"), "undecided"),
        (("comparison", 0, "pairs"), -1),
        (("limit_curve", 0, "lag_s"), None),
        (("trust", 0, "status"), "fail"),
        (("recommendation", "setting"), 1),
    ],
)
def test_the_schema_accepts_nothing_else(path: tuple[str | int, ...], value: object) -> None:
    """A misspelt figure, a figure of another kind and a value that cannot be are caught."""
    results = copy.deepcopy(ACCEPTED)
    *parents, key = path
    part: Any = results
    for each in parents:
        part = part[each]
    part[key] = value
    assert not VALIDATOR.is_valid(results)


def paths(value: object, *above: str | int) -> Iterator[tuple[str | int, ...]]:
    """The paths of all keys."""
    items: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:1])
    for key, each in items:
        if isinstance(value, dict):
            yield (*above, key)
        yield from paths(each, *above, key)


def test_the_schema_requires_every_key_that_has_a_fixed_name() -> None:
    """Whatever is left out is missed, save names that the run chose and quantiles that lack support."""
    free = {"settings", "quantiles_ci95", "environment", "packages", "objectives"}
    checked = 0
    for *parents, key in paths(ACCEPTED):
        if parents and parents[-1] in free:
            continue
        changed = copy.deepcopy(ACCEPTED)
        part: Any = changed
        for each in parents:
            part = part[each]
        del part[key]
        assert not VALIDATOR.is_valid(changed), (*parents, key)
        checked += 1
    assert checked > 100


def test_every_figure_is_read_off_the_results() -> None:
    """Each row of the table of figures finds its number; what is compared is a mean over jobs."""
    jobs = [job(key=key, outcome="completed") for key in range(400)]
    settings = analyse(run_of(jobs), None, twin_of_rows(jobs)).settings
    for name, figure in FIGURES.items():
        assert figure.read(settings["a"]) is not None, name
    assert all(FIGURES[name].values is not None for name in COMPARED)
    with pytest.raises(ValueError, match="no mean over jobs"):
        job_values(job_frame([]), "detection_lag_s.p95")


def test_every_mean_has_its_interval_beside_it() -> None:
    """Wherever there is a mean there is a ci95 that holds it."""

    def walk(value: object) -> int:
        if not isinstance(value, dict):
            return 0
        seen = sum(walk(each) for each in value.values())
        for mean, interval in (
            ("mean", "ci95"),
            ("wasted_polls_per_job", "wasted_polls_per_job_ci95"),
        ):
            if mean in value:
                low, high = value[interval]
                assert low <= value[mean] <= high
                seen += 1
        return seen

    assert walk(results_of(run_of(JOBS))["settings"]) == 2 * 4


@pytest.mark.parametrize("reduced", [False, True])
def test_a_report_made_again_is_the_same(tmp_path: Path, reduced: bool) -> None:
    """results.json and report.html are functions of the raw files, limits included."""
    path = saved(tmp_path, reduced=reduced)
    first = write_report(path, LIMITS)
    files = {name: (path / name).read_bytes() for name in ("results.json", "report.html")}
    assert json.loads(files["results.json"]) == first.to_json()
    assert write_report(path) == first
    assert {name: (path / name).read_bytes() for name in files} == files
    assert first.settings["constant-1s"].limit == Limit(polls_at_same_lag=3.1, ratio=1.29)


def test_damaged_limits_are_named(tmp_path: Path) -> None:
    """A limits.json that cannot be read is an unusable run, not a report without limits."""
    path = saved(tmp_path)
    (path / "limits.json").write_text("[]")
    with pytest.raises(RunUnusable, match=r"limits\.json"):
        write_report(path)


def test_the_planners_offer_is_shown_and_kept(tmp_path: Path) -> None:
    """One line under the table and in the page's verdict, also when the report is made again."""
    path = saved(tmp_path)
    offer = Offer(command="python -m harness plan x", polls_per_job=1.96, saving=0.31, against="constant-1s")
    write_report(path, LIMITS, offer=offer)
    again = write_report(path)
    assert again.plan == offer
    assert offer.words() in render_table(again).splitlines()
    assert offer.words() in (path / "report.html").read_text()


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, scripts and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1] += data
        else:
            self.words.append(data)


def page(jobs: Sequence[JobRow] = JOBS, limits: Limits | None = None, **changes: Any) -> Page:
    """The report of these jobs, parsed."""
    run = run_of(jobs, **changes)
    return Page(render_report(analyse(run, limits), run))


def pictures(found: Page) -> Any:
    """What the page draws, by the picture's id."""
    return json.loads(found.scripts[0])["pictures"]


def test_the_report_loads_nothing_from_elsewhere() -> None:
    """No element refers to another file, and the page forbids itself to fetch one."""
    found = page()
    loading = {"src", "srcset", "data", "action", "poster", "background"}
    assert not [(tag, attrs) for tag, attrs in found.elements if loading & attrs.keys()]
    assert all(
        tag == "a" or str(attrs["href"]).startswith("#") for tag, attrs in found.elements if "href" in attrs
    )
    assert "link" not in {tag for tag, _ in found.elements}
    (policy,) = [attrs["content"] for _, attrs in found.elements if attrs.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "unsafe" not in policy.split("script-src")[1].split(";")[0]
    assert len(found.scripts) == 3


def test_hostile_text_stays_text() -> None:
    """Names, questions, reasons and scenario texts cannot add elements or leave their script."""
    evil = "</script></title><script>alert(1)</script><img src=x onerror=alert(2)>"
    jobs = [row._replace(setting=evil) for row in JOBS[:120]] + list(JOBS[120:])
    hostile = page(
        jobs,
        scenario=ScenarioInfo("sample", evil, evil),
        settings={evil: evil, JOBS[-1].setting: evil},
        environment={evil: evil, "packages": {evil: evil}},
        incomplete=evil,
    )
    harmless = page(incomplete="stopped", environment={"cores": 2, "packages": {"numpy": "2.0"}})
    assert [tag for tag, _ in hostile.elements].count("script") == 3
    assert "img" not in {tag for tag, _ in hostile.elements}
    assert not [attrs for _, attrs in hostile.elements if any(name.startswith("on") for name in attrs)]
    assert len(hostile.elements) == len(harmless.elements)
    assert "<" not in hostile.scripts[0]
    assert "<img" not in "".join(
        trace.get("name", "") + str(trace.get("customdata"))
        for chart in pictures(hostile).values()
        for trace in chart["data"]
    )


def test_the_setting_to_ship_comes_first() -> None:
    """The question and the answer stand above everything else."""
    words = " ".join(" ".join(page(objectives={"lag_p90": 9.0}).words).split())
    question, answer = words.index("Which one?"), words.index("Ship exponential-full-jitter")
    assert question < answer < words.index("What each setting cost and gave")


def test_an_incomplete_run_says_so_at_the_top() -> None:
    """The banner of the page and a line of the table hold the reason."""
    words = " ".join(page(incomplete="interrupted after 3 s").words)
    assert words.index("This run is incomplete") < words.index("No verdict")
    assert "interrupted after 3 s" in words
    table = render_table(analyse(run_of(JOBS, incomplete="interrupted after 3 s")), 80)
    assert "INCOMPLETE: interrupted after 3 s" in table
    assert "Recommendation: none" in table


def test_charts_show_every_setting_and_the_limit() -> None:
    """Each chart has each setting in the same colour; lost jobs keep a distribution below one."""
    figures = pictures(page(limits=LIMITS, objectives={"lag_p90": 1.5}))
    figures = {name: figures[name] for name in ("load-versus-lag", "load-over-time", "lag-distribution")}
    colours = {
        trace["name"]: {
            chart: each.get("line", each.get("marker"))["color"]
            for chart, figure in figures.items()
            for each in figure["data"]
            if each["name"] == trace["name"]
        }
        for trace in figures["load-over-time"]["data"]
    }
    assert set(colours) == {"constant-1s", "exponential-full-jitter"}
    assert all(len(set(by_chart.values())) == 1 for by_chart in colours.values())
    assert figures["load-versus-lag"]["data"][0]["name"] == "limit"
    assert figures["lag-distribution"]["data"][0]["y"][-1] == pytest.approx(119 / 120, abs=1e-6)
    assert figures["lag-distribution"]["data"][-1]["name"] == "objective"


def what_if(jobs: Sequence[JobRow] = JOBS, limits: Limits | None = LIMITS, **changes: Any) -> Any:
    """What the page weighs a price of waiting on, and whether it has the slider."""
    found = page(jobs, limits, **changes)
    weighed = json.loads(found.scripts[0])["whatIf"]
    assert ("what-if" in {attrs.get("id") for _, attrs in found.elements}) == (weighed is not None)
    return weighed


def test_a_price_is_weighed_on_what_can_be_recommended() -> None:
    """No slider where the run allows no verdict; settings whose polls fall on the ends of jobs are out."""
    tied = [job("tied", key, lag=0.0) for key in range(120)]
    weighed = what_if([*JOBS, *tied])
    assert [each["name"] for each in weighed["settings"]] == ["constant-1s", "exponential-full-jitter"]
    assert what_if(tied) is None
    assert what_if(incomplete="stopped") is None
    assert analyse(run_of(tied)).recommendation.setting is None


def test_a_price_of_measured_durations_is_weighed_on_held_out_schedules() -> None:
    """As ``plan`` does, without delays, and it says so; where their law is known, on the limit itself."""
    known = what_if(limits=Limits({}, LIMITS.curve, schedules=((1.0, 3.0), (1.0, 2.0))))
    assert [each["polls"] for each in known["curve"]] == [2.0, 4.0]
    assert known["curve"][0]["delays"] == ["1.00 s", "2.00 s"]
    measured = what_if(limits=Limits({}, LIMITS.curve, ((1.5, 3.0), (3.0, 0.8)), ((1.0, 3.0), (1.0, 2.0))))
    assert measured["curve"] == [
        {"polls": polls, "lag": lag, "delays": None} for polls, lag in LIMITS.curve
    ]  # fmt: skip
    assert "fitted to one half of the durations and tried on the other" in measured["best"]
    assert "fitted" not in known["best"]


def test_without_objectives_nothing_is_shipped() -> None:
    """Box, title and table agree: the setting is named, in no colour of success, and spelt as it is."""
    jobs = [row._replace(setting=row.setting.replace("constant-1s", "quick")) for row in JOBS]
    for objectives, name, tag, box in (
        ({}, "quick, by polls", "named", "box plain answer"),
        ({"lag_p90": 9.0}, "Ship exponential-full-jitter", "ship", "box good answer"),
    ):
        found = page([row for row in jobs if row.key != 7], objectives=objectives)
        words = [each.strip() for each in found.words]
        assert any(each.startswith(name) for each in words), name
        assert [each for each in words if each in ("named", "ship")] == [tag]
        assert box in {attrs.get("class") for _, attrs in found.elements}


def test_a_long_run_stays_a_small_picture() -> None:
    """Charts hold a few hundred points, and the averaged load still adds up to all polls."""
    jobs = [job("a", key, planned=float(key), lag=0.1 + key / 5000) for key in range(2000)]
    figures = pictures(page(jobs))
    load = figures["load-over-time"]["data"][0]
    width = load["x"][1] - load["x"][0]
    assert len(load["x"]) <= 301
    assert sum(load["y"]) * width == pytest.approx(6000, rel=0.01)
    assert len(figures["lag-distribution"]["data"][0]["x"]) <= 300


def marks(polls: pl.DataFrame, jobs: Sequence[JobRow]) -> tuple[dict[str, list[int]], str]:
    """Which polls of the job that is shown were told what, and the picture's note."""
    run = replace(run_of(jobs), sample=polls)
    drawn = timelines(run, styles_of(["a"]))
    assert drawn is not None
    return {
        each["name"]: each["customdata"] for each in drawn.figure["data"] if each.get("mode") == "markers"
    }, drawn.note  # fmt: skip


def test_polls_are_marked_by_what_their_replies_meant() -> None:
    """A 200 that says nothing is no news and a 404 that means pending is; without states the code must do."""
    jobs = [job(key=0, polls=4)]
    replies = [("200", "failed"), ("404", "pending"), ("503", "failed"), ("303", "completed")]
    polls = [
        row._replace(response=response, state=state)
        for row, (response, state) in zip(polls_of(jobs), replies, strict=True)
    ]
    told, note = marks(poll_frame(polls), jobs)
    assert told == {"told: not yet": [2], "no news": [1, 3], "told: done": [4]}
    assert "drawn" not in note
    by_code = {"told: not yet": [1], "no news": [2, 3], "told: done": [4]}
    unknown = poll_frame([row._replace(state="") for row in polls])
    assert marks(unknown, jobs)[0] == marks(unknown.drop("state"), jobs)[0] == by_code


def test_polls_that_are_not_drawn_are_told_of() -> None:
    """The first 40 and the last 20 of many; the note says so."""
    jobs = [job(key=0, polls=61)]
    told, note = marks(poll_frame(polls_of(jobs)), jobs)
    assert [*told["told: not yet"], *told["told: done"]] == [*range(1, 41), *range(42, 62)]
    assert "Of more than 60 polls the first 40 and last 20 are drawn." in note


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_its_width_and_is_plain(width: int) -> None:
    """No line is longer than asked, names are whole, and a pipe gets no escape codes."""
    text = render_table(analyse(run_of(JOBS, objectives={"lag_p95": 2.0}), LIMITS), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert "\x1b" not in text
    assert re.search(r"^exponential-full-jitter +3\.00", text, re.MULTILINE)


def test_colours_only_when_asked() -> None:
    """A terminal gets colours, and the same words."""
    results = analyse(run_of(JOBS))
    coloured = render_table(results, 80, colour=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured).split() == render_table(results, 80).split()
    assert "\x1b" in coloured


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("inf"), "∞"),
        (float("-inf"), "-∞"),
        (float("nan"), "–"),
        (0.0, "0"),
        (8.9e-16, "0"),
        (5, "5"),
        (0.03124, "0.0312"),
        (9.996, "10.0"),
        (1234.5, "1,230"),
        (-0.5, "-0.500"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    """Three significant digits without exponents, whole numbers whole, a dash for the unknown."""
    assert number(value) == text


def test_units_and_shares_are_for_people() -> None:
    """Milliseconds below a second; shares with a sign on request."""
    assert [in_seconds(each) for each in (None, 0.0312, 2.5, 0.0)] == ["–", "31.2 ms", "2.50 s", "0 s"]
    assert [percent(each, sign=True) for each in (0.5, -0.031, 0.0, None)] == ["+50 %", "-3.1 %", "0 %", "–"]


@pytest.mark.parametrize(
    ("across", "at", "side"),
    [
        (log_axis("lag", 0.01, 10.0), 0.02, "left"),
        (log_axis("lag", 0.01, 10.0), 0.3, "center"),
        (log_axis("lag", 0.01, 10.0), 9.0, "right"),
        ({"range": [0, 12.0]}, 9.0, "right"),
        ({"range": [0, 12.0]}, 5.0, "center"),
        ({"rangemode": "tozero"}, 5.0, "center"),
    ],
)
def test_words_over_a_line_stay_inside_of_the_picture(across: dict[str, Any], at: float, side: str) -> None:
    """Beside it near the ends of its axis; on a logarithmic one their place is counted in decades."""
    text = mark(at, "p95", across)[1]
    assert text["xanchor"] == side
    assert text["x"] == pytest.approx(np.log10(at) if across.get("type") == "log" else at)
