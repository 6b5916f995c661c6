"""Run folders that a disk has damaged or a stranger has made: refused in one line, or read; nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from damaged_folders import damaged, whole_folders
from hostile_parts import as_json, is_told_well

from harness._cli import main
from harness._refusal import UNUSABLE, Refusal
from harness._reports import make_report
from harness._runs import render_runs, runs_in
from harness.measure import RunUnusable, compare_runs, load_polls, load_run, render_table

Folders = dict[str, Path]
_SLOWEST_S = 20.0  # of processor time, for one report


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return whole_folders(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copy(folders: Folders, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["live"], tmp_path / "run"))


def refused(folder: Path, *others: Path, reported: bool = True) -> list[str]:
    """What `compare` and `report` say of a folder, an empty text where they use it."""
    said = []
    assert all(is_told_well(render_runs([each])) for each in runs_in(folder.parent))
    acts: list[Callable[[], object]] = [lambda: compare_runs(folder, *others, force=True)]
    for act in (*acts, lambda: make_report(folder)) if reported else acts:
        began, found = time.process_time(), None
        try:
            act()
        except (Refusal, RunUnusable) as error:
            found = error
        assert time.process_time() - began < _SLOWEST_S
        assert found is None or is_told_well(str(found), 2_000)
        assert getattr(found, "status", UNUSABLE) == UNUSABLE
        said.append(str(found or ""))
        assert "\n" not in said[-1]
    return said


def survives(folders: Folders, root: Path, seeds: range, reported: int = 1) -> int:
    """Damage and compare so many folders, report every so many; return how many were refused."""
    count = 0
    for seed in seeds:
        folder = damaged(folders, seed, root / str(seed))
        try:
            said = refused(folder, folders["live"], reported=seed % reported == 0)
            count += any(said)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        shutil.rmtree(folder)
    return count


def test_whole_folders_are_read(folders: Folders) -> None:
    """What is not damaged is used: else the proofs below would prove nothing."""
    for folder in folders.values():
        assert make_report(folder).settings
        compare_runs(folder, allow_untrusted=True)


def test_no_damage_is_more_than_one_line(folders: Folders, tmp_path: Path) -> None:
    """A few of the folders that the slow proof tries by the thousands, several of them refused."""
    assert survives(folders, tmp_path, range(6), reported=6) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 12_000, 250))
def test_two_thousand_damaged_folders_are_refused_or_read(
    folders: Folders, tmp_path: Path, first: int
) -> None:
    """Each by ``report`` and by ``compare``, within seconds."""
    survives(folders, tmp_path, range(first, first + 250))


def _changed(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *path, last = key.split(".")

    def change(record: Any) -> None:
        for part in path:
            record = record[int(part) if isinstance(record, list) else part]
        record[last] = value

    return change


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("visits.0.generator_cpu", [{}]),
        ("visits.0.server.polls", "x"),
        ("visits.0.setting", [1]),
        ("visits.0.setting", "another"),
        ("visits.0.duration_s", -1),
        ("visits.0.duration_s", "@huge"),
        ("visits.0.duration_s", "@nan"),
        ("visits.0.planned_jobs", 10**30),
        ("info.environment", ["a"]),
        ("info.environment.deep", "@deep"),
        ("info.environment.digits", "@digits"),
        ("info.objectives", True),
        ("info.objectives.lag_p33", 1),
        ("info.seed", -1),
        ("info.margin", 9),
        ("format", "\x1b]0;X\a"),
        ("format", [1]),
    ],
)
def test_a_record_of_the_wrong_kind_is_refused(copy: Path, key: str, value: Any) -> None:
    """Wrong types, numbers that are none, names that nobody knows: each is one line that names run.json."""
    record = json.loads((copy / "run.json").read_text())
    _changed(key, value)(record)
    (copy / "run.json").write_bytes(as_json(record))
    assert all("run.json" in each for each in refused(copy))


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b"\xff\xfe{\0", b'{"format": ' + b"9" * 5_000 + b"}", b"{}\0"]
)
def test_what_is_no_json_is_refused(copy: Path, raw: bytes) -> None:
    """However deep it is nested, however it is encoded, however long its numbers are."""
    (copy / "run.json").write_bytes(raw)
    assert all("run.json: not JSON" in each for each in refused(copy))


@pytest.mark.parametrize("at", ["1000000000.0", "100000000.0", "-1e300", "inf", "nan", ""])
def test_a_poll_outside_of_its_visit_is_refused(copy: Path, at: str) -> None:
    """A time sizes what counts polls by the second: 1e9 of them asked for 7.45 GiB."""
    header, *rows = (copy / "polls.csv").read_text().splitlines()
    cells = rows[0].split(",")
    cells[header.split(",").index("sent_at_s")] = at
    (copy / "polls.csv").write_text("\n".join([header, ",".join(cells), *rows[1:]]) + "\n")
    assert all("polls.csv" in each for each in refused(copy))


@pytest.mark.parametrize("name", ["run.json", "polls.csv", "twin.json", "plan.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "link", "folder", "huge"])
def test_what_is_no_file_of_the_folder_is_not_read(
    copy: Path, folders: Folders, name: str, kind: str
) -> None:
    """No pipe is waited for, no device read, no link followed out of the folder, no terabyte believed."""
    (copy / name).unlink()
    if kind == "pipe":
        os.mkfifo(copy / name)
    elif kind == "folder":
        (copy / name).mkdir()
    elif kind == "huge":
        with (copy / name).open("wb") as stream:
            stream.truncate(1 << 42)
    else:
        (copy / name).symlink_to("/dev/zero" if kind == "device" else folders["live"] / name)
    with pytest.raises((RunUnusable, Refusal), match=rf"{name}|no run\.json"):
        compare_runs(copy) if name != "plan.json" else make_report(copy, on_note=str)


@pytest.mark.parametrize("size", [4, 100, 2_000])
def test_parquet_that_is_cut_is_refused(copy: Path, size: int) -> None:
    """Polars gives some damage up by a panic, in a process of its own."""
    (copy / "jobs.parquet").write_bytes((copy / "jobs.parquet").read_bytes()[:size])
    assert all("jobs.parquet" in each for each in refused(copy))


@pytest.mark.slow
def test_parquet_that_unfolds_without_measure_is_refused(copy: Path) -> None:
    """A file of kilobytes whose column is millions of zeros: its reader ends at its bound of memory."""
    zeros = pl.LazyFrame({"n": [0]}).select(pl.repeat(0, 400_000_000, dtype=pl.Int64).alias("polls"))
    zeros.sink_parquet(copy / "jobs.parquet", compression="zstd", row_group_size=4_000_000)
    assert (copy / "jobs.parquet").stat().st_size < 1 << 20
    with pytest.raises(RunUnusable, match=r"jobs\.parquet: damaged, or reading it takes more than"):
        load_run(copy)


def test_the_scenario_of_a_run_is_data(copy: Path, tmp_path: Path) -> None:
    """A file outside of the folder that it names is neither read nor quoted."""
    (tmp_path / "secrets.csv").write_text("password-of-mine\n1\n")
    for name in ("../secrets.csv", "/dev/zero", "/proc/self/environ"):
        text = (copy / "scenario.yaml").read_text()
        start = text.index("file: ") + len("file: ")
        (copy / "scenario.yaml").write_text(f"{text[:start]}{name}{text[text.index(',', start) :]}")
        (copy / "limits.json").unlink(missing_ok=True)
        notes: list[str] = []
        make_report(copy, on_note=notes.append)
        assert "is not in the folder of the run" in notes[0]
        assert "password" not in notes[0]


@pytest.mark.parametrize("value", ["1e300", "-1e300", "[1]", "null, 1"])
def test_a_calibration_of_impossible_figures_is_refused(copy: Path, value: str) -> None:
    """Their squares would be no numbers, nor would intervals made of them."""
    text = (copy / "calibration.json").read_text()
    start = text.index("[") + 1
    (copy / "calibration.json").write_text(f"{text[:start]}{value}{text[text.index(',', start) :]}")
    assert all("calibration.json" in each for each in refused(copy))


def test_a_scenario_that_lacks_a_setting_of_the_run_is_not_believed(copy: Path) -> None:
    """There is a report of the rows, and a note says what is missing in it."""
    text = (copy / "scenario.yaml").read_text().replace("  exponential:", "  another:")
    (copy / "scenario.yaml").write_text(text)
    notes: list[str] = []
    assert set(make_report(copy, on_note=notes.append).settings) == {"constant", "exponential"}
    assert "scenario.yaml has no 'exponential'" in notes[0]


def test_another_run_s_rows_are_refused(copy: Path) -> None:
    """Files of two runs mixed: settings that run.json does not know."""
    text = (copy / "polls.csv").read_text()
    (copy / "polls.csv").write_text(text.replace("constant", "other"))
    assert all("'other', which is none of run.json's" in each for each in refused(copy))


def test_what_a_terminal_would_obey_is_shown_escaped(copy: Path) -> None:
    """A record's texts reach tables and pages as characters, never as commands."""
    record = json.loads((copy / "run.json").read_text())
    record["info"]["incomplete"] = "\x1b]0;X\a\u202e"
    (copy / "run.json").write_text(json.dumps(record))
    shown = render_table(make_report(copy), width=200)
    assert r"\x1b]0;X\x07\u202e" in shown
    assert "\x1b" not in shown


def test_commands_end_with_status_two_and_one_line(copy: Path) -> None:
    """From outside: nothing on standard output, one line on standard error."""
    (copy / "run.json").write_text("[" * 100_000)
    for command in (["report"], ["compare"]):
        done = subprocess.run(
            [sys.executable, "-m", "harness", *command, str(copy)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (UNUSABLE, "")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["check", "report", "compare", "plan --run", "new --from", "new --trace", "simulate", "run"]
)
@pytest.mark.parametrize("path", ["a" * 5_000, "a\0b", "\x1b]0;X\a"])
def test_what_cannot_be_a_path_is_a_fault(command: str, path: str) -> None:
    """A name of thousands of characters, with a NUL or with what a terminal obeys: status 2 and few words."""
    result = CliRunner().invoke(main, [*command.split(), path])
    assert result.exit_code == UNUSABLE, result.exception
    assert is_told_well(result.output)


def test_rows_of_polls_are_as_hostile_to_whoever_reads_them_alone(copy: Path) -> None:
    """``load_polls`` reads with the same care as ``load_run``."""
    (copy / "polls.csv").write_bytes(b"\0" * 100_000)
    with pytest.raises(RunUnusable, match=r"polls\.csv: missing columns"):
        load_polls(copy)
