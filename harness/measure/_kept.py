"""Read what a run's folder keeps, as if anybody had written it: a folder may come from anywhere.

Only regular files of the folder itself are read, by names that this room chooses; no pipe is waited for, no
link followed out of the folder, and memory is in proportion to the bytes that are there, never to a number
that stands in them. Every fault is a RunUnusable: one line that names the file.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from harness.measure._frames import Schema, csv_frame, whole_frame
from scenarios.documents import printable

if TYPE_CHECKING:
    import polars as pl

_MOST_JSON: Final = 256 << 20
_MOST_SCENARIO: Final = 1 << 20  # as whoever reads a scenario has it
_MOST_TABLE: Final = 8 << 30
_LONGEST_FAULT: Final = 1_000  # characters

_MEMORY: Final = 2 << 30
"""Bytes of memory that reading Parquet may take, and so many times the file's own size beside."""
_UNFOLDS: Final = 16
_SECONDS: Final = 120

_Value = TypeVar("_Value")


class RunUnusable(ValueError):
    """A run cannot be read or compared; the message is one line and names the file and the fault."""

    def __init__(self, message: str) -> None:
        text = printable(message)
        super().__init__(text if len(text) <= _LONGEST_FAULT else f"{text[: _LONGEST_FAULT - 3]}...")


def is_kept(path: Path) -> bool:
    """Say whether the folder has something of this name, be it nothing that can be read."""
    return os.path.lexists(path)


def read_text(path: Path) -> str:
    """Return a file of text as it is, line ends included."""
    data = read_bytes(path, _MOST_SCENARIO)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RunUnusable(f"{path}: not UTF-8 text ({error.reason})") from None


def read_json(path: Path, adapter: TypeAdapter[_Value], fault: str) -> _Value:
    """Return what a file of JSON holds; ``fault`` says what it is not, where it does not hold that."""
    return valid(path, parsed(path), adapter, fault)


def valid(path: Path, raw: object, adapter: TypeAdapter[_Value], fault: str) -> _Value:
    """Return the value that the data of a file stands for."""
    try:
        return adapter.validate_python(raw)
    except ValidationError as error:
        raise RunUnusable(f"{path}: {fault} ({_first(error)})") from None


def parsed(path: Path) -> Any:
    """Return the data in a file of JSON; what a terminal would obey is escaped in every text."""
    data = read_bytes(path, _MOST_JSON)
    try:
        raw = from_json(data, allow_inf_nan=False)
        plain = data.isascii() and b"\\" not in data and b"\x7f" not in data
        return raw if plain else shown(raw)
    except ValueError as error:  # deep nesting and numbers of thousands of digits, too
        raise RunUnusable(f"{path}: not JSON ({error})") from None


def read_table(path: Path, schema: Schema) -> pl.DataFrame:
    """Return a table in CSV or, by its name, Parquet, with exactly these columns."""
    try:
        with opened(path) as stream:
            frame = _from_parquet(stream) if path.suffix == ".parquet" else csv_frame(stream, schema)
            return whole_frame(frame, schema)
    except OSError as error:
        raise RunUnusable(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise (error if isinstance(error, RunUnusable) else RunUnusable(f"{path}: {error}")) from None


def read_bytes(path: Path, most: int = _MOST_TABLE) -> bytes:
    """Return what a file holds, if that is not more than a run can have."""
    try:
        with opened(path, most) as stream:
            return stream.read(most)
    except OSError as error:
        raise RunUnusable(f"{path}: {error.strerror or error}") from None


def opened(path: Path, most: int = _MOST_TABLE) -> IO[bytes]:
    """Return a regular file of at most so many bytes; opening a pipe that nobody writes to waits for ever.

    Raises RunUnusable, and OSError where the file cannot be opened.
    """
    # realpath takes links that lead in a circle as they are; opening one fails by itself.
    if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(path.parent)):
        raise RunUnusable(f"{path}: it leads out of the run's folder, and nothing else is read")
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    found = os.fstat(handle)
    if S_ISREG(found.st_mode) and found.st_size <= most:
        return open(handle, "rb")  # noqa: PTH123 - a handle, not a path
    os.close(handle)
    if S_ISREG(found.st_mode):
        raise RunUnusable(f"{path}: larger than {most >> 20:,} MiB, as no run is")
    raise RunUnusable(f"{path}: not a regular file")


def _from_parquet(stream: IO[bytes]) -> pl.DataFrame:
    """Return what a file of Parquet holds, read by a process of its own.

    A small file can unfold to any size, and what decodes it gives up by ending the process: that one is held
    to bounds of memory and time. It hands the columns on as Arrow has them, whose sizes are those in memory.
    """
    import polars as pl

    memory = _MEMORY + _UNFOLDS * os.fstat(stream.fileno()).st_size
    command = [sys.executable, "-P", "-c", _READ_PARQUET, str(memory), str(_SECONDS)]
    done = subprocess.run(command, stdin=stream, capture_output=True, check=False)  # noqa: S603 - our own program
    if done.returncode == 0:
        return pl.read_ipc(io.BytesIO(done.stdout))
    said = re.search(rb"(?m)^fault: (.*)$", done.stderr)
    raise ValueError(
        said[1].decode(errors="replace")
        if said
        else f"damaged, or reading it takes more than {memory >> 20:,} MiB or {_SECONDS} s"
    )


_READ_PARQUET: Final = """
import os, sys
try:
    import resource
    memory, seconds = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError):
    pass
os.environ["POLARS_MAX_THREADS"] = "1"
import polars
try:
    frame = polars.read_parquet(sys.stdin.buffer.read())
except polars.exceptions.PolarsError as error:
    sys.exit("fault: " + (str(error).strip().splitlines() or ["damaged"])[0])
frame.write_ipc(sys.stdout.buffer)
"""
"""What a process of its own runs; polars gives up on some damage by a panic, which no message of ours is."""


def shown(value: Any) -> Any:
    """Return data with every text in it such that a terminal obeys nothing in it."""
    if isinstance(value, str):
        return "\n".join(map(printable, value.split("\n")))
    if isinstance(value, list):
        return [shown(each) for each in value]
    if isinstance(value, dict):
        return {printable(key): shown(each) for key, each in value.items()}
    return value


def _first(error: ValidationError) -> str:
    """Return the first fault in a line: "visits.0.setting: Field required"."""
    details = error.errors(include_url=False)[0]
    where = ".".join(str(part)[:60] for part in details["loc"])
    return f"{where}: {details['msg']}" if where else details["msg"]
