"""The forms of a comparison: each says the same, and no text of a user becomes markup in any."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt
from measure_records import info_of, job, polls_of, visits_of

from harness._cli import main
from harness.measure import COMPARISON_FORMATS, RunComparison, RunFolder
from harness.measure._figures import ComparisonRow

HOSTILE = (
    "a|b`c`<script>alert(1)</script> [x](javascript:y) _z_ *w* @ada #1 www.x.org &lt; "
    "\x00\x1b[2J\ufffe\u2028 ]]>"
)
SHOWN = HOSTILE.encode("unicode_escape").decode()  # what is left of it for people, here: all of it is ASCII


def row(setting: str, metric: str, verdict: str, difference: float | None = 0.5) -> ComparisonRow:
    """A difference from 1, whose interval is a tenth wide."""
    return ComparisonRow(
        setting=setting,
        baseline="a",
        metric=metric,
        difference=difference,
        ci95=None if difference is None else (difference - 0.05, difference + 0.05),
        relative=difference,
        pairs=200,
        unpaired=0,
        margin=0.02,
        verdict=verdict,  # type: ignore[arg-type]
        reason=None,
    )


def comparison(name: str = "b", worse: bool = True) -> RunComparison:
    """Two metrics of one setting, one of them worse, and an objective that is missed now."""
    rows = [row(name, "detection_lag_s", "worse"), row(name, "polls_per_job", "better", -0.25)]
    return RunComparison(
        rows,
        [f"run of {name}"] * 2,
        [name] if worse else [],
        f"{name} against a, job by job",
        [f"job.duration.file: {name}"],
        [f"{name}: p95 lag was within 2 s"] if worse else [],
    )


class Page(HTMLParser):
    """What a browser would make of a document: its elements, their attributes and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(document: str) -> ET.Element:
    return ET.fromstring(document)  # noqa: S314 - ours


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_a_users_text_becomes_no_markup(form: str) -> None:
    """Whatever a name holds, a page has the elements that it has for a plain name, and shows the name."""
    document, plain = (COMPARISON_FORMATS[form](comparison(name)) for name in (HOSTILE, "b"))
    if form == "markdown":
        renderer = MarkdownIt("commonmark").enable("table")
        document, plain = renderer.render(document), renderer.render(plain)
    page, expected = Page(document), Page(plain)
    assert page.elements == expected.elements
    assert page.attributes == expected.attributes
    assert page.text.count(SHOWN) >= 4
    assert "\x1b" not in page.text


def test_markdown_names_people_and_places_only_as_code() -> None:
    """GitHub looks for mentions, links and issues in text, after Markdown: not inside of code."""
    inside, outside = 0, ""
    for part in COMPARISON_FORMATS["markdown"](comparison(HOSTILE)).split("<code>"):
        code, end, after = part.rpartition("</code>")
        inside += bool(end)
        assert not {"@", "|", "`", "<", "_", "."} & set(code)
        outside += after
    assert inside == 5
    assert "ada" not in outside


def test_junit_is_xml_whatever_a_name_holds() -> None:
    """XML has no way to write control characters; names are shown with them escaped."""
    found = parsed(COMPARISON_FORMATS["junit"](comparison(HOSTILE)))
    assert [case.get("classname") for case in found.iter("testcase")] == [SHOWN, SHOWN, "objectives"]


@pytest.mark.parametrize("worse", [True, False])
def test_junit_fails_where_the_exit_status_does(worse: bool) -> None:
    """One case per setting and metric; a trade within one run is no failure, a missed objective is one."""
    found = parsed(COMPARISON_FORMATS["junit"](comparison(worse=worse)))
    cases = {(case.get("classname"), case.get("name")): case for case in found.iter("testcase")}
    failed = {key for key, case in cases.items() if case.find("failure") is not None}
    assert {("b", "mean lag"), ("b", "polls/job")} <= cases.keys()
    expected = {("b", "mean lag"), ("objectives", "b: p95 lag was within 2 s")} if worse else set()
    assert failed == expected
    assert bool(failed) == bool(comparison(worse=worse).exit_code)
    assert sum(int(suite.get("failures", "0")) for suite in found.iter("testsuite")) == len(expected)


def test_every_form_of_a_comparison_ends_alike(tmp_path: Path) -> None:
    """`compare --format` prints the document alone, with the status of the table; --json is a form of it."""
    folders = []
    for lag in (0.5, 0.9):
        jobs = [job("a", key, lag=lag * (1 + key % 7 / 50)) for key in range(60)]
        folder = tmp_path / f"lag {lag}"
        folder.mkdir()
        RunFolder(folder).write(info_of(jobs), visits_of(jobs), jobs, polls_of(jobs))
        folders.append(str(folder))

    def compared(*options: str) -> str:
        done = CliRunner().invoke(main, ["compare", *folders, *options])
        assert (done.exit_code, done.stderr) == (1, "")
        return done.stdout

    assert "Worse: a." in compared() == compared("--format", "table")
    assert json.loads(compared("--json"))["worse"] == ["a"]
    assert compared("--json") == compared("--format", "json")
    assert compared("--format", "markdown").startswith("### ❌ Polling backoff: worse: <code>a</code>\n")
    assert parsed(compared("--format", "junit")).find("*/testcase/failure") is not None
    assert "Worse: a" in Page(compared("--format", "html")).text
    (choice,) = [option for option in main.commands["compare"].params if option.opts == ["--format"]]
    assert tuple(choice.type.choices) == tuple(COMPARISON_FORMATS)  # type: ignore[attr-defined]
