"""The rows of a run on disk while it is under way: what is written, how it can break, what is read again."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
import threading
import tracemalloc
from pathlib import Path

import gevent
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_parts import STARTED_AT, job_row, poll_row

from harness.live import _spool, recover
from harness.live._columns import Columns
from harness.live._framing import Closed, Ended, Entry, entries, framed, part, remove
from harness.live._journal import Journal
from harness.live._record import Record, info_of
from harness.live._spool import Parts
from harness.measure import (
    JOURNAL,
    JobRow,
    PollRow,
    RunFolder,
    RunUnusable,
    Visit,
    job_frame,
    load_run,
    poll_frame,
)
from harness.virtual import with_way_back
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
        self.jobs: list[JobRow] = []
        self.polls: list[PollRow] = []
        self.journal = Journal(experiment, reports)
        self.journal.begin(self.record)
        self.now = 0.0

    def measure(self, *keys: int, setting: str = "quick") -> None:
        """Have jobs end, a second later."""
        self.now += 1.0
        for key in keys:
            self.jobs.append(job_row(key, key / 10, setting))
            self.polls.append(poll_row(key, setting))
            self.record.jobs.append(self.jobs[-1])
            self.record.polls.append(self.polls[-1])
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
        return self.journal.folder

    def is_killed(self) -> Path:
        """Have the process gone, as ``kill -9`` does: its locks go with it."""
        folder = self.folder
        self.journal.let_go()
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
    assert runs.journal.end()
    written = RunFolder.create(tmp_path / "written", "short", STARTED_AT)
    jobs, polls = job_frame(runs.jobs), poll_frame(runs.polls)
    visits, jobs = runs.record.visits, with_way_back(experiment, jobs, polls)
    written.write(info_of(experiment, runs.record), visits, jobs, polls)
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


def test_a_run_that_measured_nothing_leaves_no_folder(experiment: Scenario, tmp_path: Path) -> None:
    """It is as if it had not begun."""
    runs = Runs(experiment, tmp_path / "reports")
    runs.journal.flush(9)
    runs.journal.discard()
    assert list((tmp_path / "reports").iterdir()) == []


def test_rows_are_in_memory_no_longer_than_until_the_disk_has_them(
    experiment: Scenario, tmp_path: Path
) -> None:
    """A run of hours takes no more memory than one of minutes."""
    runs = Runs(experiment, tmp_path / "reports")
    rounds, jobs, taken = 30, 1000, []
    tracemalloc.start()
    for number in range(rounds):
        for key in range(jobs):
            runs.record.jobs.append(job_row(key))
            runs.record.polls.append(poll_row(key))
        runs.journal.keep(float(number))
        runs.journal.flush(9)
        taken.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    written = (runs.folder / JOURNAL).stat().st_size
    assert written > rounds * jobs * 150
    assert max(taken) - taken[2] < written / 100
    runs.close()
    assert runs.journal.end()
    found = recover(runs.is_killed())
    assert found is not None
    assert found[:2] == (rounds * jobs, rounds * jobs)


@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_folder_that_is_gone_sends_the_rows_to_another(
    experiment: Scenario, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, is_renamed: bool
) -> None:
    """All of them, those that were written before as well; both places are said."""
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    before = runs.folder
    if is_renamed:  # as a disk that is taken away, it has the files yet, but nobody finds them there
        (tmp_path / "reports").rename(tmp_path / "others")
    else:
        shutil.rmtree(tmp_path / "reports")
    runs.measure(1)
    runs.measure(2)
    assert runs.folder.is_relative_to(tmp_path / "temporary")
    assert f"{before} cannot be written (it is gone): rows are kept in {runs.folder}" in caplog.text
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


def no_space_left(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_run_whose_rows_fit_nowhere_goes_on_without_a_journal(
    experiment: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was written stays, and it is said that the rest is in memory alone."""
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    monkeypatch.setattr(Parts, "write", no_space_left)
    runs.measure(1)
    runs.measure(2)
    assert "rows are no longer kept on disk" in caplog.text
    assert not runs.journal.end()
    monkeypatch.undo()
    found = recover(runs.is_killed())
    assert found is not None
    assert found.jobs == 1
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("has_room_elsewhere", [False, True])
def test_what_a_full_disk_took_of_an_entry_is_no_part_of_it(
    experiment: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_room_elsewhere: bool
) -> None:
    """It had room for half of one. By the end there is room again, or there was in another folder."""
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    first, write = runs.folder, Parts.write

    def half(stream: Parts, data: bytes) -> None:
        if stream._folder == first:
            write(stream, data[: len(data) // 2])
            no_space_left()
        if not has_room_elsewhere:
            no_space_left()
        write(stream, data)

    monkeypatch.setattr(Parts, "write", half)
    runs.measure(1)
    runs.measure(2)
    if not has_room_elsewhere:
        monkeypatch.setattr(Parts, "write", write)
    runs.close()
    assert runs.journal.end()
    assert runs.folder.is_relative_to(tmp_path / "temporary") == has_room_elsewhere
    assert first.exists() != has_room_elsewhere
    assert recover(runs.is_killed()) == (3, 3, None)


def test_a_journal_that_was_cut_by_somebody_is_not_written_to(
    experiment: Scenario, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries behind a hole would not be believed; it is said at once, not at the end."""
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    os.truncate(runs.folder / JOURNAL, 10)
    runs.measure(1)
    assert f"rows are no longer kept on disk ({runs.folder}: somebody has cut it)" in caplog.text


def test_a_run_that_has_a_folder_nowhere_can_end(
    experiment: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its beginning there was room nowhere; where there is at its end, it has a folder there."""
    (tmp_path / "reports").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "reports"))
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    assert runs.journal.folder is None
    assert not runs.journal.end()
    assert runs.journal.folder is None
    other = Runs(experiment, tmp_path / "reports")
    other.measure(0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert other.journal.end()
    found = recover(other.is_killed())
    assert found is not None
    assert found.jobs == 1


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


class Stuck:
    """A disk that takes no bytes until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.may_go_on = threading.Event()
        self.went_on = threading.Event()
        write = Parts.write

        def stuck(stream: Parts, data: bytes) -> None:
            if stream._folder != folder:
                write(stream, data)
                return
            self.may_go_on.wait(9)
            try:
                write(stream, data)
            finally:
                self.went_on.set()

        monkeypatch.setattr(Parts, "write", stuck)

    def goes_on(self) -> None:
        self.may_go_on.set()
        assert self.went_on.wait(9)
        gevent.sleep(0.01)


def test_a_run_ends_elsewhere_where_its_disk_takes_no_bytes(
    experiment: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With each row once, also when the disk goes on at last: a share over a network that was gone, say."""
    monkeypatch.setattr(_spool, "_PATIENCE_S", 0.2)
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    first = runs.folder
    disk = Stuck(monkeypatch, first)
    runs.record.jobs.append(job_row(1))
    runs.journal.keep(9.0)
    runs.journal.flush(0.01)
    runs.record.jobs.append(job_row(2))
    assert runs.journal.end()
    disk.goes_on()
    assert f"{first} cannot be written (it takes no bytes): rows are kept in {runs.folder}" in caplog.text
    assert runs.folder.is_relative_to(tmp_path / "temporary")
    recover(runs.is_killed(), experiment)
    (written,) = (tmp_path / "temporary").glob("backoff-*/short-*")
    assert load_run(written).jobs["key"].to_list() == [0, 1, 2]


def test_a_run_whose_disk_takes_no_bytes_and_that_has_no_other_ends_too(
    experiment: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written stays, and what is stuck breaks no later run."""
    monkeypatch.setattr(_spool, "_PATIENCE_S", 0.2)
    runs = Runs(experiment, tmp_path / "reports")
    runs.measure(0)
    first = runs.folder
    disk = Stuck(monkeypatch, first)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    runs.record.jobs.append(job_row(1))
    runs.journal.keep(9.0)
    assert not runs.journal.end()
    runs.journal.let_go()
    later = Runs(experiment, tmp_path / "reports")
    later.measure(5, 6)
    disk.goes_on()
    later.measure(7)
    assert later.journal.end()
    found = recover(later.is_killed())
    assert found is not None
    assert found.jobs == 3
    assert (first / JOURNAL).exists()


def bound_files(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Have files take no more bytes than that."""
    write = os.write

    def bounded(number: int, data: bytes) -> int:
        room = size - os.fstat(number).st_size
        if room <= 0:
            raise OSError(errno.EFBIG, "File too large")
        return write(number, bytes(data)[:room])

    monkeypatch.setattr(os, "write", bounded)


def test_a_bound_on_the_size_of_files_makes_more_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``ulimit -f``: the stream goes on in the next file, cut anywhere."""
    bound_files(monkeypatch, 1000)
    stream = Parts(tmp_path)
    for number in range(5):
        stream.write(bytes([number]) * 700)
    stream.close()
    parts = [part(tmp_path, number) for number in range(4)]
    assert set(tmp_path.glob("rows*")) == set(parts)
    assert b"".join(each.read_bytes() for each in parts) == b"".join(bytes([n]) * 700 for n in range(5))
    remove(tmp_path)
    assert list(tmp_path.glob("rows*")) == []


@given(st.lists(st.integers(1, 900), min_size=1, max_size=20), st.integers(0, 20), st.integers(300, 2000))
def test_a_stream_is_read_as_it_was_at_some_moment(lengths: list[int], moment: int, bound: int) -> None:
    """In however many files it is; and it can be cut to what it was then, and go on from there."""
    pieces = [bytes([n % 256]) * length for n, length in enumerate(lengths)]
    moment = min(moment, len(pieces))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        bound_files(patch, bound)
        stream = Parts(Path(folder))
        for piece in pieces[:moment]:
            stream.write(piece)
        then = stream.sizes
        for piece in pieces[moment:]:
            stream.write(piece)
        assert b"".join(stream.read(then)) == b"".join(pieces[:moment])
        stream.cut(then)
        assert stream.sizes == then
        for piece in pieces[moment:]:
            stream.write(piece)
        assert b"".join(stream.read(stream.sizes)) == b"".join(pieces)
        stream.close()


SOME: list[Entry] = [Closed({"setting": "quick"}), Ended(None), Closed({}), Ended("stopped")]


def read_of(stream: bytes) -> list[Entry]:
    return list(entries(io.BytesIO(stream).read))


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 255))
def test_what_is_before_a_fault_is_read_and_nothing_behind_it(cut: int, at: int, flip: int) -> None:
    """A stream that was cut anywhere, or has a wrong byte, gives entries from its beginning."""
    stream = b"".join(map(framed, SOME))
    assert read_of(stream) == SOME
    kept = read_of(stream[: cut % len(stream)])
    assert kept == SOME[: len(kept)]
    broken = bytearray(stream)
    broken[at % len(stream)] ^= flip
    sound = read_of(bytes(broken))
    assert sound == SOME[: len(sound)]
    assert len(sound) < len(SOME)
