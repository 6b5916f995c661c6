"""The report in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_parts import Open, overflow
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
    """It asks for nothing beyond itself, and nothing goes wrong."""
    opened = open_page(report)
    assert opened.requests == [report.as_uri()]
    assert opened.errors == []
    assert opened.page.locator("svg.main-svg path.js-line, svg.main-svg path.point").count() > 5


@pytest.mark.parametrize("width", [768, 1280])
def test_no_page_is_wider_than_its_window(open_page: Open, report: Path, width: int) -> None:
    """What does not fit scrolls in a box of its own."""
    assert overflow(open_page(report, width=width).page) <= 0
