"""Entries of a run on their way to the disk: into the run's folder, or elsewhere where that takes none.

What was added stays in memory until the disk has it, and no longer: a run of hours takes no more of it than
one of minutes. A thread writes, so that a slow disk never holds up the load. What is written can be read
again as long as its files are open, be their folder removed or their disk full: so the stream moves to a
fallback folder with all that it has. Where that takes nothing either, entries stay in memory.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import gevent
from gevent.threadpool import ThreadPool

from harness.live._framing import Entry, framed, part
from harness.measure import RunFolder, RunInfo

logger = logging.getLogger("backoff")

_PATIENCE_S: Final = 30.0  # with a disk that takes no bytes, before another is tried
_CHUNK: Final = 1 << 20

Sizes = tuple[int, ...]


def fallback(scenario: str, started_at: datetime) -> RunFolder:
    """Make a folder for a run that cannot be written where it should be; RunFolderError when that fails."""
    root = tempfile.mkdtemp(prefix="backoff-")  # nobody else can have made it, nor looks into it
    try:
        return RunFolder.create(root, scenario, started_at)
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
        with suppress(OSError):  # no locks on this kind of disk
            fcntl.flock(self._files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _open(self, number: int) -> int:
        return os.open(part(self._folder, number), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)

    @property
    def sizes(self) -> Sizes:
        """How many bytes each file has."""
        return tuple(os.fstat(each).st_size for each in self._files)

    def write(self, data: bytes) -> None:
        """Add the bytes. Raises OSError, also where the folder no longer has the file."""
        if not self._is_there():
            raise FileNotFoundError(errno.ENOENT, "it is gone")
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._files[-1], view) :]
            except OSError as error:
                if error.errno != errno.EFBIG or not self.sizes[-1]:
                    raise
                self._files.append(self._open(len(self._files)))

    def _is_there(self) -> bool:
        """Whether the folder has what is written: it may be removed, renamed, or on a disk that is."""
        try:
            found = part(self._folder, len(self._files) - 1).stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._files[-1]))

    def cut(self, sizes: Sizes) -> None:
        """Have the files as they were when they had these sizes. Raises OSError."""
        while len(self._files) > len(sizes):
            os.close(self._files.pop())
            part(self._folder, len(self._files)).unlink(missing_ok=True)
        for number, (had, has) in enumerate(zip(sizes, self.sizes, strict=True)):
            if has < had:
                raise OSError(errno.EIO, "somebody has cut it")
            if has > had:
                os.ftruncate(self._files[number], had)

    def read(self, sizes: Sizes) -> Iterator[bytes]:
        """Yield what was written when the files had these sizes. Raises OSError."""
        for number, size in zip(self._files, sizes, strict=False):
            at = 0
            while at < size:
                data = os.pread(number, min(_CHUNK, size - at), at)
                if not data:
                    raise OSError(errno.EIO, "somebody has cut it")
                yield data
                at += len(data)

    def close(self) -> None:
        """Close the files, and let go of the lock."""
        files, self._files = self._files, []  # once: the next file to be opened may have the same number
        for each in files:
            with suppress(OSError):
                os.close(each)


class Spool:
    """The journal of one run on disk, and those of its entries that are not there yet.

    reports: where the run's folder is made, with the scenario of ``info`` in it from the beginning.
    """

    def __init__(self, reports: Path, info: RunInfo, started_at: datetime) -> None:
        self._reports = reports
        self._info = info
        self._started_at = started_at
        self._pool = ThreadPool(1)
        self._folder: RunFolder | None = None
        self._stream: Parts | None = None
        self._has: Sizes = (0,)  # of the stream, with all entries that are no longer in memory
        self._entries: list[Entry] = []  # that are yet to be written
        self._writer: Any = None  # the greenlet that has them written
        self._is_sound = True
        self._can_move = True
        if (error := self._settle(is_fallback=False)) is not None:
            self._move(error)

    @property
    def folder(self) -> Path | None:
        """Where the journal is, None where no folder could be made."""
        return self._folder.path if self._folder else None

    def add(self, *entries: Entry) -> None:
        """Have entries written, after all that were added before."""
        self._entries += entries
        if self._entries and self._is_sound and (self._writer is None or self._writer.ready()):
            self._writer = gevent.spawn(self._write)

    def flush(self, seconds: float) -> bool:
        """Wait for the disk, for so long at most; return whether it has all that was added."""
        if self._writer is not None:
            self._writer.join(seconds)
        return not self._entries

    def end(self) -> bool:
        """Wait until a disk has everything, trying once more what took nothing; return whether one has."""
        if self.flush(_PATIENCE_S):
            return True
        self._can_move = True
        if self._is_sound:  # a thread is stuck, and keeps its file
            self._pool = ThreadPool(1)
            self._writer = gevent.spawn(self._go_elsewhere, OSError(errno.ETIMEDOUT, "it takes no bytes"))
        else:
            self._is_sound = True
            self.add()
        return self.flush(_PATIENCE_S)

    def close(self) -> None:
        """Close the files: nothing is written any more."""
        self._is_sound, stream, self._stream = False, self._stream, None
        # What a thread writes to must not be closed: its number may be another file's by then.
        if self._writer is None or self._writer.ready():
            if stream is not None:
                stream.close()
            self._pool.kill()

    def discard(self) -> None:
        """Close the files and remove them."""
        self.flush(_PATIENCE_S)
        self.close()
        if self._folder is not None:
            self._remove(self._folder)

    # -- what is written, and where ------------------------------------------------------------------

    def _write(self) -> None:
        while self._entries and self._is_sound:
            if (stream := self._stream) is None:
                self._move(OSError(errno.ENOENT, "no folder could be made"))
                continue
            batch = self._entries[:]
            told = self._pool.apply(_append, (stream, self._has, batch))
            if stream is not self._stream:  # it took so long that others went on without it
                stream.close()
                return
            if not isinstance(told, OSError):
                self._has = told
                del self._entries[: len(batch)]
                continue
            self._move(told)
            if stream is not self._stream:
                stream.close()

    def _go_elsewhere(self, error: OSError) -> None:
        self._move(error)
        self._write()

    def _move(self, error: OSError) -> None:
        """Go on in the fallback folder, with all that was written; where that cannot be, in memory."""
        where, said, left = self.folder or self._reports, error.strerror or str(error), self._folder
        if not self._can_move or self._settle(is_fallback=True) is not None:
            self._is_sound = False
            logger.error("rows are no longer kept on disk (%s: %s), but in memory", where, said)
            return
        self._can_move = False
        logger.warning("%s cannot be written (%s): rows are kept in %s", where, said, self.folder)
        if left is not None:
            self._remove(left)

    def _settle(self, *, is_fallback: bool) -> OSError | None:
        """Make a folder that has all that was written, and go on there; return what went wrong."""
        folder = None
        try:
            folder = (
                fallback(self._info.scenario.name, self._started_at)
                if is_fallback
                else RunFolder.create(self._reports, self._info.scenario.name, self._started_at)
            )
            folder.keep_scenario(self._info.scenario)
            stream = Parts(folder.path)
        except OSError as error:
            if folder is not None:
                self._remove(folder)
            return error
        has: Sizes | OSError = (0,)
        if self._stream is not None:
            has = self._pool.apply(_copy, (self._stream, self._has, stream))
        if isinstance(has, OSError):
            stream.close()
            self._remove(folder)
            return has
        self._folder, self._stream, self._has = folder, stream, has
        return None

    def _remove(self, folder: RunFolder) -> None:
        shutil.rmtree(folder.path, ignore_errors=True)
        if folder.path.parent != self._reports:
            with suppress(OSError):  # it is not empty, so it is none of ours
                folder.path.parent.rmdir()


# A thread does these. What it raises is printed as a traceback, so it returns what went wrong.


def _append(stream: Parts, has: Sizes, batch: Sequence[Entry]) -> Sizes | OSError:
    """Write entries behind what the stream has; return what it has then."""
    try:
        stream.cut(has)  # what a write that failed has left
        for entry in batch:
            stream.write(framed(entry))
        return stream.sizes
    except OSError as error:
        return error


def _copy(stream: Parts, has: Sizes, into: Parts) -> Sizes | OSError:
    """Write what a stream has into another; return what that has then."""
    try:
        for data in stream.read(has):
            into.write(data)
        return into.sizes
    except OSError as error:
        return error
