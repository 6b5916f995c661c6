"""The rows of a run on disk while it is under way: whatever ends the process, they are there.

Once a second, and at each visit's end, what the record has more than the journal is added to it, by a thread:
a disk that is slow never holds up the load. The kernel has the bytes then, so that no end of the process can
lose them; a power failure can lose what the disk had not taken yet.

Where a folder cannot be written (any more), the journal begins anew in a fallback folder with all that the
record has. Where that fails too, the run goes on without a journal: its rows are in memory still.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import gevent
from gevent.threadpool import ThreadPool

from harness.live._framing import Began, Closed, Ended, Entry, Measured, framed, part, remove
from harness.live._record import Record, info_of
from harness.measure import RunFolder, RunInfo, plain_record
from scenarios import Scenario

logger = logging.getLogger("backoff")

_INTERVAL_S: Final = 1.0
_PATIENCE_S: Final = 30.0  # with a disk that takes no bytes, before the run ends without it


def fallback(scenario: Scenario, record: Record) -> RunFolder:
    """Make a folder for a run that cannot be written where it should be; RunFolderError when that fails."""
    root = tempfile.mkdtemp(prefix="backoff-")  # nobody else can have made it, nor looks into it
    try:
        return RunFolder.create(root, scenario.name, record.started_at)
    except OSError:
        shutil.rmtree(root, ignore_errors=True)
        raise


class Parts:
    """A stream of bytes in a folder. Where a file may not grow any more, another follows it.

    The first file is locked while the stream is open: so others can tell whether somebody writes to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = [self._open(0)]
        self._is_fresh = True
        with suppress(OSError):  # no locks on this kind of disk
            fcntl.flock(self._files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _open(self, number: int) -> int:
        return os.open(part(self._folder, number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)

    def write(self, data: bytes) -> None:
        """Add the bytes. Raises OSError, also where the file was removed."""
        view = memoryview(data)
        while view:
            if os.fstat(self._files[-1]).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "it was removed")
            try:
                view = view[os.write(self._files[-1], view) :]
                self._is_fresh = False
            except OSError as error:
                if error.errno != errno.EFBIG or self._is_fresh:
                    raise
                self._files.append(self._open(len(self._files)))
                self._is_fresh = True

    def close(self) -> None:
        """Close the files, and let go of the lock."""
        files, self._files = self._files, []  # once: the next file to be opened may have the same number
        for each in files:
            with suppress(OSError):
                os.close(each)


class Journal:
    """Keep each run's record on disk while it grows, in the folder that the run will have; one run at a time.

    reports: where the folders of runs are.
    """

    def __init__(self, scenario: Scenario, reports: Path) -> None:
        self._scenario = scenario
        self._reports = reports
        self._pool = ThreadPool(1)
        self._record: Record | None = None
        self._info: RunInfo | None = None
        self._folder: RunFolder | None = None
        self._left: Path | None = None  # the folder before the fallback, until that has everything
        self._has_fallen_back = False
        self._stream: Parts | None = None
        self._entries: list[Entry] = []  # that are yet to be written
        self._writer: Any = None  # the greenlet that has them written
        self._kept = (0, 0, 0)  # how many visits, jobs and polls of the record were added
        self._next_at = 0.0

    @property
    def folder(self) -> RunFolder | None:
        """Where the run is, None where no folder could be made."""
        return self._folder

    @property
    def is_sound(self) -> bool:
        """Whether the journal has, or will have, all that was added."""
        return self._stream is not None

    def begin(self, record: Record) -> None:
        """Begin with a run."""
        self._record, self._has_fallen_back, self._next_at = record, False, 0.0
        self._open(lambda: RunFolder.create(self._reports, self._scenario.name, record.started_at))

    def keep(self, now: float) -> None:
        """Add what the record has more by now, at most once a second but for the ends of visits."""
        if self._record is None or self._stream is None:
            return
        if now >= self._next_at or len(self._record.visits) > self._kept[0]:
            self._next_at = now + _INTERVAL_S
            self._add(*self._news())

    def end(self) -> None:
        """Add the rest, and wait until all is written, or the disk has taken too long."""
        if self._record is not None and self.is_sound:
            self._add(*self._news(), Ended(self._record.incomplete))
            self.flush(_PATIENCE_S)

    def flush(self, seconds: float) -> None:
        """Wait until all that was added is written, for so long at most."""
        if self._writer is None or self._writer.ready():
            return
        self._writer.join(seconds)
        if not self._writer.ready():
            self._stream = None  # not closed: its thread still has it
            logger.error("rows are no longer kept on disk: it takes no bytes")

    def fold(self) -> None:
        """Let go of the run: its folder is whole, and needs no journal. A journal that stays does no harm."""
        if (folder := self.let_go()) is not None:
            with suppress(OSError):
                remove(folder)

    def discard(self) -> None:
        """Let go of the run, and of its folder: nothing was measured."""
        if (folder := self.let_go()) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            if self._has_fallen_back:
                with suppress(OSError):  # it is not empty, so it is none of ours
                    folder.parent.rmdir()

    def let_go(self) -> Path | None:
        """Let go of the run, whose rows stay in the journal; return its folder."""
        self.flush(_PATIENCE_S)  # what is closed must not be what a thread writes to
        folder = self._folder.path if self._folder else None
        if self._stream is not None:
            self._stream.close()
        self._record, self._stream, self._folder, self._left = None, None, None, None
        self._entries.clear()
        return folder

    # -- what is written -----------------------------------------------------------------------------

    def _open(self, make: Callable[[], RunFolder]) -> None:
        """Begin the journal with all that the record has, in a folder that is yet to be made."""
        assert self._record is not None  # noqa: S101 - a run is under way
        try:
            self._folder = make()
            self._info = info_of(self._scenario, self._record)
            self._folder.keep_scenario(self._info.scenario)
            self._stream = Parts(self._folder.path)
        except OSError as error:
            self._break(error)
            return
        self._kept = (0, 0, 0)
        self._entries.clear()
        plans = [(each.index, each.repeat, each.setting) for each in self._record.plans]
        self._add(Began(plain_record(self._info, ()), plans), *self._news())

    def _news(self) -> list[Entry]:
        """Return what the record has more than was added."""
        record, (visits, jobs, polls) = self._record, self._kept
        assert record is not None  # noqa: S101 - a run is under way
        assert self._info is not None  # noqa: S101
        self._kept = (len(record.visits), len(record.jobs), len(record.polls))
        news: list[Entry] = []
        if self._kept[1:] != (jobs, polls):
            news.append(Measured(record.jobs.since(jobs).to_wire(), record.polls.since(polls).to_wire()))
        return [*news, *map(Closed, plain_record(self._info, record.visits[visits:])["visits"])]

    def _add(self, *more: Entry) -> None:
        if self._stream is None or not more:
            return
        self._entries += more
        if self._writer is None or self._writer.ready():
            self._writer = gevent.spawn(self._write)

    def _write(self) -> None:
        while self._entries and (stream := self._stream) is not None:
            batch, self._entries = self._entries, []
            error = self._pool.apply(_write, (stream, batch))
            if stream is not self._stream:  # it took so long that it was given up, and its run with it
                stream.close()
            elif error is not None:
                stream.close()
                self._stream = None
                self._break(error)
            elif self._left is not None:
                shutil.rmtree(self._left, ignore_errors=True)
                self._left = None

    def _break(self, error: OSError) -> None:
        """Go on in the fallback folder; without a journal where that fails too."""
        record, broken, said = self._record, self._folder, error.strerror or str(error)
        if record is None:
            return
        where = broken.path if broken else self._reports
        if self._has_fallen_back:
            logger.error("rows are no longer kept on disk (%s: %s), but in memory", where, said)
            return
        self._has_fallen_back = True
        self._left = broken.path if broken else None
        self._open(lambda: fallback(self._scenario, record))
        if self._stream is not None and self._folder is not None:
            logger.warning("%s cannot be written (%s): rows are kept in %s", where, said, self._folder.path)


def _write(stream: Parts, batch: Sequence[Entry]) -> OSError | None:
    """Write entries; return what went wrong, for what a thread raises is printed as a traceback."""
    try:
        for entry in batch:
            stream.write(framed(entry))
    except OSError as error:
        return error
    return None
