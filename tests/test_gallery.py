"""docs/gallery.md: what it says of each scenario is what its simulation gives."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache, reduce
from pathlib import Path
from typing import Any

import pytest

from harness.measure import Results, analyse, render_table
from harness.virtual import simulate
from scenarios import load_scenario

ROOT = Path(__file__).resolve().parent.parent


def gallery() -> Any:
    """The module that makes the page: it lies with the pictures, in no room."""
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "images" / "make.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery"] = module
    spec.loader.exec_module(module)
    return module


MAKE = gallery()


@cache
def figures_of(name: str) -> Results:
    """The results of a shipped scenario in virtual time."""
    return analyse(simulate(load_scenario(ROOT / "scenarios" / f"{name}.yaml")).run)


def test_the_table_on_the_front_page_is_the_default_scenarios() -> None:
    """Setting by setting, but for the intervals, which come from more visits than this one."""
    results = figures_of("video-translation")

    def rows(text: str) -> list[list[str]]:
        cells = [line.split() for line in text.splitlines()]
        return [row[:4] + row[5:] for row in cells if len(row) == 10 and row[0] in results.settings]

    shown = rows((ROOT / "README.md").read_text())
    assert len(shown) == len(results.settings)
    assert shown == rows(render_table(results, 80))


@pytest.mark.parametrize("name", MAKE.LESSONS)
def test_a_scenario_teaches_what_the_gallery_says(name: str) -> None:
    """Each claim lies within its bounds in the figures of the scenario as it is shipped."""
    settings = figures_of(name).to_json()["settings"]

    def figure(setting: str, path: str) -> float:
        return float(reduce(lambda found, key: found[key], path.split("."), settings[setting]))

    lesson = MAKE.LESSONS[name]
    assert lesson.claims
    for claim in lesson.claims:
        value = figure(claim.setting, claim.figure)
        value /= figure(claim.of, claim.figure) if claim.of else 1
        assert claim.low <= value <= claim.high, (claim, value)


def test_the_page_is_what_make_gallery_writes() -> None:
    """All shipped scenarios are in it, each with a picture that is there."""
    shipped = {path.stem for path in (ROOT / "scenarios").glob("*.yaml")}
    assert set(MAKE.LESSONS) == shipped
    assert MAKE.PAGE.read_text() == MAKE.page()
    for name in (*shipped, "report"):
        assert (ROOT / "docs" / "images" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
