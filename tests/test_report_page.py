"""The report in a real browser."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from browser_parts import Open, overflow, unfit
from click.testing import CliRunner
from live_parts import ROOT

from harness._cli import main


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
    for chart in ("load-over-time", "lag-distribution"):
        lines = page.locator(f"#{chart} .scatterlayer path.js-line")
        drawn = [lines.nth(i).get_attribute("d") or "" for i in range(lines.count())]
        assert len([path for path in drawn if len(path) > 100]) == 5, chart


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
    ink = page.locator("#load-versus-lag .xtick text").first.evaluate("(each) => getComputedStyle(each).fill")
    assert ink == "rgb(0, 0, 0)"


def test_the_chart_library_is_what_the_record_says() -> None:
    """The file kept in the repository is its makers' own, of the version that is written down."""
    folder = ROOT / "harness" / "measure" / "page"
    record = json.loads((folder / "vendored.json").read_text())
    bundle = (folder / "plotly-basic.min.js").read_bytes()
    assert sha256(bundle).hexdigest() == record["sha256"]
    assert f"v{record['version']}\n".encode() in bundle[:200]
    assert "MIT License" in (folder / "plotly-basic.licence.txt").read_text()
