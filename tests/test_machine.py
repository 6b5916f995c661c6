"""What this machine can do: measured once, kept, never believed blindly, and held against what is asked."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from click.testing import CliRunner

from harness import _version
from harness._cli import main
from harness._version import own_version
from harness.live import _machine
from harness.live._machine import Capacity, Machine, this_machine, too_much
from harness.virtual import visit_costs
from scenarios import load_scenario, requests_asked_for

FAST = Capacity(generator=5_000.0, simulator=9_000.0)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The transports that were measured, each of which takes no time; the cache is a folder of the test's."""
    measured: list[str] = []

    def measure(transport: str) -> Capacity:
        measured.append(transport)
        return FAST

    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _name: tmp_path / "cache")
    monkeypatch.setattr(_machine, "measured", measure)
    return measured


def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "machine-lean.json"


def test_a_machine_is_measured_once(calls: list[str], tmp_path: Path) -> None:
    """What was measured is kept for each transport; how to measure anew is said."""
    first = this_machine("lean")
    assert first == this_machine("lean")
    assert first.capacity == FAST
    assert f"remove {cache(tmp_path)}" in first.known
    assert calls == ["lean"]
    this_machine("requests")
    assert calls == ["lean", "requests"]


def spoilt(**changes: Any) -> Callable[[Path], None]:
    """Have the file say something else."""

    def spoil(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


SPOILT: dict[str, Callable[[Path], None]] = {
    "garbage": lambda path: path.write_bytes(b"\xff\x00{"),
    "deeply nested": lambda path: path.write_bytes(b"[" * 10_000),
    "another machine's": spoilt(machine={"host": "elsewhere"}),
    "a month old": spoilt(measured_at=ago(days=31)),
    "of tomorrow": spoilt(measured_at=ago(days=-1)),
    "a time without its zone": spoilt(measured_at="2026-01-01T00:00:00"),
    "no figure": spoilt(capacity={"generator": "many", "simulator": 9000.0}),
    "absurd": spoilt(capacity={"generator": 1e300, "simulator": 9000.0}),
    "negative": spoilt(capacity={"generator": -5.0, "simulator": 9000.0}),
    "an unknown key": spoilt(more=1),
    "huge": lambda path: path.write_bytes(path.read_bytes() + b" " * 100_000),
    "a link": lambda path: (path.rename(path.with_suffix(".x")), path.symlink_to(path.with_suffix(".x"))),  # type: ignore[dict-item,func-returns-value]
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),  # type: ignore[dict-item,func-returns-value]
}


@pytest.mark.parametrize("fault", SPOILT)
def test_what_is_kept_is_not_believed_blindly(fault: str, calls: list[str], tmp_path: Path) -> None:
    """A file that is not ours, not whole, of another machine or old is measured anew."""
    this_machine("lean")
    SPOILT[fault](cache(tmp_path))
    assert this_machine("lean").capacity == FAST
    assert calls == ["lean", "lean"]


def test_a_cache_that_cannot_be_written_is_done_without(calls: list[str], tmp_path: Path) -> None:
    """Then each look measures."""
    (tmp_path / "cache").write_text("not a folder")
    assert this_machine("lean").capacity == this_machine("lean").capacity == FAST
    assert calls == ["lean", "lean"]


@pytest.mark.usefixtures("calls")
def test_what_cannot_be_measured_is_assumed_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figure is one of a slow machine, and nothing is kept."""

    def fail(_transport: str) -> Capacity:
        raise OSError("no port\x1b[2J is free")

    monkeypatch.setattr(_machine, "measured", fail)
    found = this_machine("requests")
    assert found.known == "assumed, for it could not be measured: no port\\x1b[2J is free"
    assert found.capacity.generator < FAST.generator
    assert not (tmp_path / "cache").exists()


def look(_transport: str) -> Machine:
    return Machine(FAST, "as the test says")


def test_what_is_asked_is_held_against_the_machine_with_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 70 % of the tighter side on: one generator, so many simulators, and the cores for both."""
    monkeypatch.setattr(_machine, "_cores", lambda: 4)
    lines = list(too_much({"a": 6_000.0, "b": 4_000.0, "c": 3_000.0, "d": 10.0}, "lean", 1, look))
    assert len(lines) == 2
    assert lines[0].startswith(
        "a asks for about 6,000 requests/s, more than this machine gives: about 5,000 ("
    )
    assert lines[1].startswith("b asks for about 4,000 requests/s, near what this machine gives")
    assert "as the test says" in lines[0]
    assert Machine(FAST, "").most(simulators=1) == 5_000.0
    monkeypatch.setattr(_machine, "_cores", lambda: 1)  # both take their time from one core
    assert Machine(FAST, "").most(simulators=1) == pytest.approx(1 / (1 / 5_000 + 1 / 9_000))


def test_a_machine_is_left_alone_where_little_is_asked() -> None:
    """A check stays quick: nothing is measured for what any machine can do."""

    def never(_transport: str) -> Machine:
        raise AssertionError("the machine was looked at")

    assert not list(too_much({"a": 400.0}, "lean", 1, never))
    assert not list(too_much({"a": 70.0}, "requests", 1, never))
    assert not list(too_much({}, "lean", 1, never))


SCENARIO = """
name: asked
job: {duration: 2s}
workload: {lanes: 4, @WORKLOAD@}
settings: {a: {curve: constant, initial: 500ms}}
"""


@pytest.mark.parametrize(
    ("workload", "asked"),
    [
        ("arrivals: {type: constant, rate: 100}, duration: 20s", 500),  # five requests a job, for good
        ("arrivals: {type: constant, rate: 100}, duration: 1s", 250),  # 100 jobs in the two seconds of one
        ("arrivals: {type: burst, size: 100}, jobs: 100", 250),
        ("arrivals: {type: burst, size: 100, every: 10s}, jobs: 1000", 50),
        ("arrivals: {type: closed}, duration: 20s", 10),  # each lane a job in two seconds
    ],
)
def test_the_requests_that_are_asked_for_are_those_of_the_steady_state(
    workload: str, asked: float, tmp_path: Path
) -> None:
    """Four polls and a submission for each job of two seconds."""
    path = tmp_path / "asked.yaml"
    path.write_text(SCENARIO.replace("@WORKLOAD@", workload))
    scenario = load_scenario(path)
    assert requests_asked_for(scenario, visit_costs(scenario)) == {"a": pytest.approx(asked, rel=0.05)}


def test_check_says_that_a_scenario_asks_for_more_than_the_machine_gives(
    calls: list[str], tmp_path: Path
) -> None:
    """The line has the setting, what it asks for, what there is and how that is known."""
    path = tmp_path / "asked.yaml"
    path.write_text(SCENARIO.replace("@WORKLOAD@", "arrivals: {type: poisson, rate: 5000}, duration: 20s"))
    done = CliRunner().invoke(main, ["check", str(path)], catch_exceptions=False)
    assert done.exit_code == 0
    (line,) = (each for each in done.output.splitlines() if "this machine gives" in each)
    assert line.startswith("  note: a asks for about 25,000 requests/s")
    assert calls == ["lean"]


def test_a_copy_that_was_never_installed_knows_no_version_and_works(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at the machine needs none."""

    def unknown(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_version, "version", unknown)
    assert this_machine("lean").capacity == FAST
    assert own_version() == "unknown"
    assert calls == ["lean"]


def test_a_cache_that_is_not_written_leaves_nothing(
    calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full: no half of a file stays, however often it is tried."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert this_machine("lean").capacity == FAST
    assert calls == ["lean"]
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["lean", "requests"])
def test_a_real_machine_is_measured_within_seconds(transport: Any) -> None:
    """In processes of their own; the figures are those of a machine that can run anything at all."""
    found = _machine.measured(transport)
    assert found.generator > 50
    assert found.simulator > 500
