"""The rows of a run on disk while it is under way: what is written, how it can break, what is read again."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_parts import STARTED_AT, job_row, poll_row

from harness.live import _journal, recover
from harness.live._columns import Columns
from harness.live._finish import write_record
from harness.live._framing import Closed, Ended, Entry, entries, framed, part, remove
from harness.live._journal import Journal, Parts
from harness.live._record import Record
from harness.measure import JOURNAL, RunFolder, RunUnusable, Visit, load_run
from scenarios import Scenario, load_scenario

TEXT = """\
name: short
seed: 7
job: {duration: {type: fixed, value: 1s}}
workload: {lanes: 3, arrivals: {type: constant, rate: 10}, jobs: 20}
settings:
  quick: {curve: constant, initial: 100ms}
  slow: {curve: constant, initial: 300ms}
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Scenario:
    path = tmp_path / "short.yaml"
    path.write_text(TEXT)
    return load_scenario(path)


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


class Runs:
    """A run that measures, and its journal."""

    def __init__(self, experiment: Scenario, reports: Path) -> None:
        self.record = Record(STARTED_AT, experiment.visits())
        self.journal = Journal(experiment, reports)
        self.journal.begin(self.record)
        self.now = 0.0

    def measure(self, *keys: int, setting: str = "quick") -> None:
        """Have jobs end, a second later."""
        self.now += 1.0
        for key in keys:
            self.record.jobs.append(job_row(key, key / 10, setting))
            self.record.polls.append(poll_row(key, setting))
        self.journal.keep(self.now)
        self.journal.flush(9)

    def close(self, setting: str = "quick") -> None:
        """Close a visit."""
        self.record.visits.append(Visit(setting, 0, len(self.record.visits), 3.0, 2.0, lanes=3))
        self.journal.keep(self.now)
        self.journal.flush(9)

    @property
    def folder(self) -> Path:
        assert self.journal.folder is not None
        return self.journal.folder.path

    def is_killed(self) -> Path:
        """Have the process gone, as ``kill -9`` does: its locks go with it."""
        folder = self.journal.let_go()
        assert folder is not None
        return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_journal_makes_the_folder_that_a_whole_run_writes(experiment: Scenario, tmp_path: Path) -> None:
    """To the byte, where the run had ended and only its writing failed."""
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0, 1)
    runs.close()
    runs.measure(0, 1, 2, setting="slow")
    runs.close("slow")
    runs.journal.end()
    written = RunFolder.create(tmp_path / "written", "short", STARTED_AT)
    write_record(written, experiment, runs.record)
    folder = runs.is_killed()
    assert recover(folder) == (5, 5, None)
    assert files_of(folder) == files_of(written.path)
    assert recover(folder) is None


def test_a_killed_run_keeps_its_rows_and_says_so(
    experiment: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The visit under way is incomplete, its jobs under way are censored, and the reason is told."""
    runs = Runs(experiment, tmp_path)
    runs.measure(0, 1)
    runs.close()
    runs.measure(0, setting="slow")
    runs.record.polls.append(poll_row(1, "slow")._replace(state="pending"))
    runs.measure()
    folder = runs.is_killed()
    with pytest.raises(RunUnusable, match=r"python -m harness report .*short-"):
        load_run(folder)
    monkeypatch.delattr(Columns, "__iter__")  # rows by the million must not become tuples
    recovered = recover(folder)
    assert recovered is not None
    assert recovered[:2] == (4, 4)
    run = load_run(folder)
    assert run.info.incomplete == recovered.incomplete
    assert [(visit.setting, visit.complete) for visit in run.visits] == [("quick", True), ("slow", False)]
    censored = run.jobs.row(3, named=True)
    assert (censored["key"], censored["outcome"], censored["lane"], censored["wasted_polls"]) == (
        1, "censored", 1, 1
    )  # fmt: skip
    assert censored["planned_at_s"] == pytest.approx(0.1)
    assert JOURNAL not in files_of(folder)


def test_in_a_closed_loop_jobs_under_way_began_when_the_lane_was_free(tmp_path: Path) -> None:
    """The first at once, the next after the lane's job before and a pause; else nobody can tell."""
    path = tmp_path / "loop.yaml"
    loop = "lanes: 3, arrivals: {type: closed, think: 500ms}, duration: 20s"
    path.write_text(TEXT.replace("lanes: 3, arrivals: {type: constant, rate: 10}, jobs: 20", loop))
    runs = Runs(load_scenario(path), tmp_path)
    runs.measure(0, 1)
    for key, sent_at in [(3, 5.0), (2, 0.5), (2, 1.5), (7, 9.0)]:  # 4, before 7, was not accepted
        runs.record.polls.append(poll_row(key, "quick")._replace(sent_at_s=sent_at, state="pending"))
    runs.measure()
    folder = runs.is_killed()
    assert recover(folder) == (
        4,
        6,
        "the harness was killed: of the last second before that nothing was kept",
    )
    rows = load_run(folder).jobs.filter(pl.col("outcome").cast(pl.String) == "censored").sort("key")
    first = poll_row(0, "quick")
    assert rows.select("key", "lane", "polls").rows() == [(2, 2, 2), (3, 0, 1)]
    began = first.sent_at_s + (first.latency_s or 0.0) + 0.5
    assert rows["planned_at_s"].to_list() == pytest.approx([0.0, began])


def test_a_run_under_way_is_not_touched(experiment: Scenario, tmp_path: Path) -> None:
    """Its process holds a lock; a report asked for meanwhile is refused."""
    runs = Runs(experiment, tmp_path)
    runs.measure(0)
    before = files_of(runs.folder)
    with pytest.raises(RunUnusable, match="its run still goes on"):
        recover(runs.folder)
    assert files_of(runs.folder) == before


def test_a_whole_run_leaves_no_journal_and_an_empty_one_no_folder(
    experiment: Scenario, tmp_path: Path
) -> None:
    """The journal is folded into the folder, or both are gone."""
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    folder = runs.folder
    runs.journal.fold()
    assert set(files_of(folder)) == {"scenario.yaml"}
    other = Runs(experiment, tmp_path / "others")
    other.journal.flush(9)
    other.journal.discard()
    assert list((tmp_path / "others").iterdir()) == []


def test_a_removed_folder_sends_the_rows_to_another(
    experiment: Scenario, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All of them, those that were written before as well; both places are said."""
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    before = runs.folder
    shutil.rmtree(tmp_path / "reports")
    runs.measure(1)
    runs.measure(2)
    assert runs.folder.is_relative_to(tmp_path / "temporary")
    assert f"{before} cannot be written (it was removed): rows are kept in {runs.folder}" in caplog.text
    found = recover(runs.is_killed())
    assert found is not None
    assert found.jobs == 3


def test_reports_that_cannot_be_made_have_the_run_begin_in_another_folder(
    experiment: Scenario, tmp_path: Path
) -> None:
    """The folder of reports was replaced by a file, say."""
    (tmp_path / "reports").touch()
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    assert runs.folder.is_relative_to(tmp_path / "temporary")


def test_a_run_whose_rows_fit_nowhere_goes_on_without_a_journal(
    experiment: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was written stays, and it is said that the rest is in memory alone."""
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    first = runs.folder

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Parts, "write", full)
    runs.measure(1)
    runs.measure(2)
    assert not runs.journal.is_sound
    assert "rows are no longer kept on disk" in caplog.text
    runs.journal.end()
    monkeypatch.undo()
    runs.journal.let_go()
    found = recover(first)
    assert found is not None
    assert found.jobs == 1


def test_a_run_that_has_a_folder_nowhere_can_end(
    experiment: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its beginning there was room nowhere: its end is no fault, for who writes the rows tries anew."""
    (tmp_path / "reports").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "reports"))
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    runs.journal.end()
    assert runs.journal.folder is None
    assert not runs.journal.is_sound


def test_a_discarded_run_leaves_no_folder_behind(experiment: Scenario, tmp_path: Path) -> None:
    """The fallback's own folder is gone with the run's; nothing is written into what was removed."""
    (tmp_path / "reports").touch()
    runs = Runs(experiment, tmp_path / "reports")
    runs.record.jobs.append(job_row())
    runs.journal.keep(1.0)  # not flushed: a thread may be writing yet
    runs.journal.discard()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_parts_are_closed_once(tmp_path: Path) -> None:
    """A file that is opened later may have the number of one that was closed, and is somebody else's."""
    parts = Parts(tmp_path)
    parts.close()
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
    parts.close()
    for each in others:
        os.close(each)  # raises where it was closed already


def test_a_write_that_was_given_up_breaks_no_later_run(
    experiment: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk took no bytes until the next run was under way, and then refused them."""
    may_end = threading.Event()

    def stuck(*_: object) -> None:
        may_end.wait(9)
        raise OSError(errno.EIO, "Input/output error")

    runs = Runs(experiment, tmp_path / "reports")
    runs.journal.flush(9)
    monkeypatch.setattr(Parts, "write", stuck)
    runs.record.jobs.append(job_row())
    runs.journal.keep(1.0)
    runs.journal.flush(0.01)
    assert not runs.journal.is_sound
    monkeypatch.undo()
    monkeypatch.setattr(_journal, "_PATIENCE_S", 0.0)
    runs.journal.let_go()
    runs.journal.begin(runs.record)
    may_end.set()
    runs.journal.flush(9)
    assert runs.journal.is_sound
    assert runs.folder.parent == tmp_path / "reports"
    found = recover(runs.is_killed())
    assert found is not None
    assert found.jobs == 1


def test_a_bound_on_the_size_of_files_makes_more_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``ulimit -f``: the stream goes on in the next file, cut anywhere."""
    write = os.write

    def bounded(number: int, data: bytes) -> int:
        room = 1000 - os.fstat(number).st_size
        if room <= 0:
            raise OSError(errno.EFBIG, "File too large")
        return write(number, bytes(data)[:room])

    monkeypatch.setattr(os, "write", bounded)
    stream = Parts(tmp_path)
    for number in range(5):
        stream.write(bytes([number]) * 700)
    stream.close()
    parts = [part(tmp_path, number) for number in range(4)]
    assert set(tmp_path.glob("rows*")) == set(parts)
    assert b"".join(each.read_bytes() for each in parts) == b"".join(bytes([n]) * 700 for n in range(5))
    remove(tmp_path)
    assert list(tmp_path.glob("rows*")) == []


SOME: list[Entry] = [Closed({"setting": "quick"}), Ended(None), Closed({}), Ended("stopped")]


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 255))
def test_what_is_before_a_fault_is_read_and_nothing_behind_it(cut: int, at: int, flip: int) -> None:
    """A stream that was cut anywhere, or has a wrong byte, gives entries from its beginning."""
    stream = b"".join(map(framed, SOME))
    assert list(entries(stream)) == SOME
    kept = list(entries(stream[: cut % len(stream)]))
    assert kept == SOME[: len(kept)]
    broken = bytearray(stream)
    broken[at % len(stream)] ^= flip
    sound = list(entries(bytes(broken)))
    assert sound == SOME[: len(sound)]
    assert len(sound) < len(SOME)
