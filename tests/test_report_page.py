"""The report in a real browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from browser_parts import Open, overflow, unfit
from click.testing import CliRunner
from live_parts import ROOT
from measure_records import job, polls_of, run_of

from harness._cli import main
from harness.measure import (
    JobRow,
    Limits,
    Offer,
    ScenarioInfo,
    analyse,
    load_results,
    load_run,
    poll_frame,
    render_report,
    render_table,
    sample_keys,
)
from scenarios.draws import Found


def reported(folder: Path, scenario: Path, *more: object) -> Path:
    """The report of a scenario in virtual time."""
    arguments = ["simulate", scenario, "--out", folder, *more]
    done = CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder / "report.html"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default scenario's."""
    return reported(tmp_path_factory.mktemp("page") / "run", ROOT / "scenarios" / "video-translation.yaml")


def test_the_report_opens_from_disk(open_page: Open, report: Path) -> None:
    """It asks for nothing beyond itself, nothing goes wrong, and the pictures hold what they show."""
    opened = open_page(report)
    assert opened.requests == [report.as_uri()]
    assert opened.errors == []
    page = opened.page
    assert page.locator("#load-versus-lag .scatterlayer path.point").count() >= 5
    assert page.locator("#timelines .barlayer .point path").count() == 2 * 5
    assert page.locator("#timelines .scatterlayer path.point").count() > 5
    assert page.locator("#herd .barlayer .point path").count() == 5
    assert page.locator("#latency-parts .barlayer .point path").count() == 4 * 5
    for chart in ("load-over-time", "lag-distribution"):
        lines = page.locator(f"#{chart} .scatterlayer path.js-line")
        drawn = [lines.nth(i).get_attribute("d") or "" for i in range(lines.count())]
        assert len([path for path in drawn if len(path) > 100]) == 5, chart


def test_the_front_page_ends_as_the_table_does(report: Path) -> None:
    """Its lines of trust and recommendation are those of the default scenario."""
    table = render_table(load_results(report.parent)).splitlines()
    held = [each for each in table if each.startswith(("Trust: ", "Recommendation: "))]
    assert len(held) == 2
    assert [each for each in held if f"    {each}\n" not in (ROOT / "README.md").read_text()] == []


@pytest.mark.parametrize(("width", "dark"), [(400, False), (768, True), (1280, False)])
def test_the_page_fits_its_window_and_everyone_can_use_it(
    open_page: Open, report: Path, width: int, dark: bool
) -> None:
    """Nothing is cut, and axe finds nothing serious; neither in the dark nor with the numbers shown."""
    page = open_page(report, width=width, dark=dark).page
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert overflow(page) <= 0
    cut = "[...document.querySelectorAll('.cards')].map((each) => each.scrollWidth - each.clientWidth)"
    assert max(page.evaluate(cut)) <= 0
    assert unfit(page) == []


def test_a_setting_is_followed_through_the_page(open_page: Open, report: Path) -> None:
    """Its buttons are pressed, its rows marked, other lines fade; Escape ends it."""
    page = open_page(report).page
    page.locator(".legend .pick", has_text="exponential-full-jitter").press("Enter")
    assert page.locator("[data-pick='3'][aria-pressed='true']").count() >= 2
    assert page.locator("tr.chosen").count() >= 2
    faint = "document.getElementById('lag-distribution').data.map((each) => each.opacity ?? 1)"
    assert page.evaluate(faint)[:5] == [0.2, 0.2, 0.2, 1, 0.2]
    page.keyboard.press("Escape")
    assert page.locator("tr.chosen").count() == 0
    page.locator("tbody .pick").first.click()
    assert "constant-1s" in page.locator("#said").inner_text()


def test_another_job_is_shown_poll_by_poll(open_page: Open, report: Path) -> None:
    """A long job has more polls than a short one; those of the picture are those of the run's rows."""
    page = open_page(report).page
    seen = []
    for words in ("a short job", "a long job"):
        button = page.get_by_role("button", name=words)
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        seen.append(
            page.evaluate("document.getElementById('timelines').data.slice(2).flatMap((each) => each.x)")
        )
    short, long = seen
    assert len(long) > len(short)
    run = load_run(report.parent)
    assert run.sample is not None
    key = sample_keys(run.jobs)[2]
    polls = run.sample.filter(run.sample["key"] == key)
    jobs = run.jobs.filter(run.jobs["key"] == key)
    assert len(long) == len(polls) == jobs["polls"].sum()
    sent = polls.join(jobs, on=["setting", "repeat", "key"])
    assert sorted(long) == pytest.approx(sorted(sent["sent_at_s"] - sent["submitted_at_s"]), abs=1e-3)


def test_the_table_sorts(open_page: Open, report: Path) -> None:
    """Rising, then falling, by any column; the heading says so to everyone."""
    page = open_page(report).page
    heading = page.locator("th[role=columnheader]", has_text="polls per job").first
    rows = "[...document.querySelectorAll('table.sortable tbody tr')]"
    cells = f"{rows}.map((each) => +each.cells[1].dataset.value)"
    for said, reverse in (("ascending", False), ("descending", True)):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == said
        values = page.evaluate(cells)
        assert values == sorted(values, reverse=reverse)
        assert len(values) == 5


def test_commands_are_copied(open_page: Open, report: Path) -> None:
    """The button puts the very text beside it on the clipboard."""
    page = open_page(report).page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".copier").nth(1).click()
    page.locator(".copier", has_text="Copied").wait_for()
    said = "python -m harness export scenario.yaml constant-2s --to python"
    assert page.evaluate("navigator.clipboard.readText()") == said


def test_the_price_of_a_request_names_the_best(open_page: Open, report: Path) -> None:
    """From the setting that hears soonest to the one that asks least, and the limit's point moves along."""
    page = open_page(report).page
    slider = page.get_by_label("What is one status request worth to you?")
    seen = []
    for key in ("Home", "End"):
        slider.press(key)
        limit = page.evaluate("document.getElementById('load-versus-lag').data.at(-2).x[0]")
        seen.append((page.locator("#priced").inner_text(), limit))
    (soon, many), (late, few) = seen
    assert "constant-1s is the best setting tried" in soon
    assert re.search(r"The best of all schedules needs .*, waiting ([\d.]+ m?s, ){5}…", soon), soon
    assert "constant-2s is the best setting tried" in late
    assert many > 2 * few
    assert "constant-2s" in (slider.get_attribute("aria-valuetext") or "")


def test_the_page_prints(open_page: Open, report: Path) -> None:
    """On white, with every picture, names no smaller than the notes under them."""
    page = open_page(report, dark=True).page
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    size = "(which) => parseFloat(getComputedStyle(document.querySelector(which)).fontSize)"
    assert page.evaluate(size, ".sortable .pick .name") > page.evaluate(size, ".sortable tbody .note")
    display = "(which) => getComputedStyle(document.querySelector(which)).display"
    assert page.evaluate(display, ".sorter") == "contents"  # a plain heading on every page
    ink = page.locator("#load-versus-lag .xtick text").first.evaluate("(each) => getComputedStyle(each).fill")
    assert ink == "rgb(0, 0, 0)"


EVIL = "</script><img src=x onerror='window.pwned = 1'><svg onload='window.pwned = 2'>&lt;b&gt;\u2028${x}"


def recorded(text: str) -> Found:
    """Recorded data of which everything that a user can name is this text."""
    return Found(text, text, "0" * 64, text, (text,), 9, 5, {text: 4}, text, {text: 0.5}, None, (0.5,))


def test_hostile_text_does_nothing(open_page: Open, tmp_path: Path) -> None:
    """What names, questions, notes, versions, reasons and recorded data hold stays text in a browser."""
    jobs = [job(name, key, lag=0.1 * (1 + key % 7)) for name in (EVIL, f"b{EVIL}") for key in range(40)]
    run = run_of(
        jobs,
        scenario=ScenarioInfo(EVIL, EVIL, EVIL, (recorded(EVIL),)),
        settings={EVIL: EVIL, f"b{EVIL}": EVIL},
        environment={EVIL: EVIL, "packages": {EVIL: EVIL}},
        incomplete=EVIL,
    )
    run = replace(run, sample=poll_frame(polls_of(jobs)))
    offer = Offer(command=EVIL, yaml=EVIL, polls_per_job=1.0, mean_lag_s=1.0, saving=0.5, against=EVIL)
    limits = Limits({}, ((2.0, 3.0), (4.0, 0.8)))
    results = analyse(run, limits).model_copy(update={"plan": offer, "baseline": EVIL})
    path = tmp_path / "report.html"
    for named in (None, EVIL):
        told = results.recommendation.model_copy(update={"setting": named, "why": EVIL, "rival": named})
        path.write_text(render_report(results.model_copy(update={"recommendation": told}), run))
        opened = open_page(path)
        opened.page.locator(".pick").first.click()
        opened.page.locator("#load-versus-lag .point").first.hover(force=True)
        assert opened.errors == []
        assert opened.requests == [path.as_uri()]
        assert opened.page.evaluate("window.pwned") is None
        assert opened.page.locator("img, svg[onload]").count() == 0
        assert opened.page.locator("h1").inner_text().startswith("</script><img")


def test_one_setting_of_a_few_jobs_is_a_whole_report(open_page: Open, tmp_path: Path) -> None:
    """Nothing is compared, nothing is said in the plural, and the page still has its pictures."""
    run = run_of([job(key=key) for key in range(5)])
    path = tmp_path / "report.html"
    path.write_text(render_report(analyse(run), run))
    opened = open_page(path, width=400)
    assert opened.errors == []
    assert overflow(opened.page) <= 0
    words = opened.page.locator("main").inner_text()
    assert "1 setting, 5 jobs" in words
    assert "5 jobs are too few to choose" in words
    assert "Against" not in words


@pytest.mark.parametrize("jobs", [[], [job(key=key, outcome="timeout") for key in range(30)]])
def test_a_run_that_learnt_nothing_has_a_page_all_the_same(
    open_page: Open, tmp_path: Path, jobs: list[JobRow]
) -> None:
    """Without jobs, or with none that was followed to its end, what cannot be drawn is left out."""
    run = run_of(
        jobs, settings={"a": "x"}, objectives={"lag_p95": 1.0}, incomplete=None if jobs else "stopped"
    )
    path = tmp_path / "report.html"
    path.write_text(render_report(analyse(run), run))
    opened = open_page(path)
    assert opened.errors == []
    assert unfit(opened.page) == []
    assert opened.page.locator("#load-versus-lag, #lag-distribution").count() == 0
    assert opened.page.locator("#load-over-time").count() == bool(jobs)


def test_many_settings_make_no_large_file() -> None:
    """24 settings, long names, lags over three orders of magnitude, hundreds of polls a job: 1.5 MB."""
    names = [f"{'long-' * 11}{i:02d}" for i in range(24)]
    jobs = [
        job(name, key, lag=0.01 * 1.35**i * (1 + key / 50), polls=1 + (400 >> i % 9))
        for i, name in enumerate(names)
        for key in range(100)
    ]
    run = run_of(jobs)
    shown = sample_keys(run.jobs)
    run = replace(run, sample=poll_frame(polls_of([each for each in jobs if each.key in shown])))
    page = render_report(analyse(run, Limits({}, ((2.0, 3.0), (4.0, 0.8)))), run)
    assert len(page.encode()) < 1_500_000


def test_the_chart_library_is_what_the_record_says() -> None:
    """The file kept in the repository is its makers' own, of the version that is written down."""
    folder = ROOT / "harness" / "measure" / "page"
    record = json.loads((folder / "vendored.json").read_text())
    bundle = (folder / "plotly-basic.min.js").read_bytes()
    assert sha256(bundle).hexdigest() == record["sha256"]
    assert f"v{record['version']}\n".encode() in bundle[:200]
    assert "MIT License" in (folder / "plotly-basic.licence.txt").read_text()
