"""Recorded data as people have it: forms, moments, spans, rows that count, bounds; each file is made here."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from harness.measure import needed
from scenarios.draws import Sample, Trace
from scenarios.draws._cells import durations
from scenarios.draws._reading import Request, read, read_apart
from scenarios.draws._where import Where


def file_of(folder: Path, data: str | bytes, name: str = "t.csv") -> str:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def trace(folder: Path, data: str | bytes, **keys: Any) -> Trace:
    return Trace(file=file_of(folder, data), **keys)


def refused(folder: Path, data: str | bytes, **keys: Any) -> list[str]:
    """The faults of a file, each in words."""
    with pytest.raises(ValidationError) as caught:
        trace(folder, data, **keys)
    return [error["ctx"].get("message", str(error["ctx"].get("error"))) for error in caught.value.errors()]


def parquet(**columns: Any) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(columns).write_parquet(stream)
    return stream.getvalue()


ROWS = [{"id": 1, "took": 2.5, "status": "ok"}, {"id": 2, "took": "3s", "status": None}]
CSV = "id,took,status\n1,2.5,ok\n2,3s,\n"
FORMS = {
    "delimited by commas": CSV,
    "delimited by semicolons": CSV.replace(",", ";"),
    "delimited by tabs": CSV.replace(",", "\t"),
    "delimited by bars": CSV.replace(",", "|"),
    "delimited by ':'": "sep=:\r\n" + CSV.replace(",", ":").replace("\n", "\r\n"),
    "delimited by commas, packed by gzip": gzip.compress(CSV.encode()),
    "JSON lines": "\n\n".join(json.dumps(row) for row in ROWS),
    "JSON lines, packed by gzip": gzip.compress("\n".join(json.dumps(row) for row in ROWS).encode()),
    "Parquet": parquet(id=[1, 2], took=["2.5", "3s"], status=["ok", None]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_files_form_shows_in_its_first_bytes_and_is_said(tmp_path: Path, form: str) -> None:
    """Whatever the file is called, CSV of any delimiter, JSON lines and Parquet have the same values."""
    ours = trace(tmp_path, FORMS[form], column="took")
    assert ours.seconds.tolist() == [2.5, 3.0]
    assert ours.found().form == form
    assert next(iter(ours.found().notes)) == f"t.csv is {form}; 2 rows, column 'took'"


def test_members_of_members_have_dotted_names(tmp_path: Path) -> None:
    """JSON nests; a name with a dot in it comes before a member of a member."""
    lines = '{"m": {"t": 3, "u.v": 4}}\n{"m": {"t": null}}\n{"m": 5}\n'
    assert trace(tmp_path, lines, column="m.t", missing="skip").seconds.tolist() == [3]
    assert trace(tmp_path, lines, column="m.u.v", missing="skip").seconds.tolist() == [4]


@pytest.mark.parametrize(
    "data", ["seconds\n2\n3\n", '{"seconds": 2}\n{"seconds": 3}\n', parquet(seconds=[2, 3])]
)
def test_a_files_only_column_needs_no_name(tmp_path: Path, data: str | bytes) -> None:
    """Where there is one column, it is meant."""
    assert trace(tmp_path, data).seconds.tolist() == [2, 3]


DURATION = st.floats(0, 1e6).map(repr) | st.sampled_from(
    ["1", "007", "+5", "5.", ".5", "1e3", "250ms", "1h30m", "PT15S", "", "NA", "-", "-3", "nan", "inf", "x"]
)


@given(st.lists(DURATION, min_size=1, max_size=30))
def test_columns_are_read_as_single_cells_are(cells: list[str]) -> None:
    """What is read as an array has the very numbers that the one grammar of durations gives cell by cell."""
    whole = durations(pl.Series(cells, dtype=pl.String), 1e-3)
    for row, cell in enumerate(cells):
        one = durations(pl.Series([cell], dtype=pl.String), 1e-3)
        assert whole.missing[row] == one.missing[0]
        assert whole.below_zero[row] == one.below_zero[0]
        assert whole.wrong.get(row) == one.wrong.get(0)
        if not (one.missing[0] or one.below_zero[0] or one.wrong):
            assert whole.values[row] == one.values[0]
            plain = cell.replace(".", "").isdecimal()
            assert not plain or whole.values[row] == float(cell) * 1e-3


@pytest.mark.parametrize(
    ("column", "unit", "seconds"),
    [
        ("duration_ms", None, 2.5),
        ("latency (ms)", None, 2.5),
        ("elapsedMillis", None, 2.5),
        ("exec_time_seconds", None, 2500),
        ("x", "ms", 2.5),
        ("duration_ms", "s", 2500),
        ("minutes", None, 150_000),
        ("team", None, 2500),
        ("pool_m", None, 2500),
        ("d", None, 2500),
    ],
)
def test_the_unit_is_given_or_read_off_the_columns_name(
    tmp_path: Path, column: str, unit: Any, seconds: float
) -> None:
    """A name such as duration_ms tells the unit of its numbers, and that is said; a key outranks it."""
    ours = trace(tmp_path, f"{column}\n2500\n", column=column, unit=unit)
    assert ours.seconds.tolist() == [seconds]
    said = any("by the name of the column" in note for note in ours.found().notes)
    assert said == (unit is None and seconds != 2500)


def moments(folder: Path, cells: list[str]) -> list[float]:
    """The moments, counted from the first, as spans from it."""
    rows = "".join(f'"{cells[0]}","{cell}"\n' for cell in cells)
    return trace(folder, f"a,b\n{rows}", start="a", end="b").seconds.tolist()


@pytest.mark.parametrize(
    "cells",
    [
        ["2023-11-16 18:17:03.9799600", "2023-11-16 18:17:04.4799600", "2023-11-16 18:17:06.9799600"],
        ["2023-11-16T18:17:03Z", "2023-11-16T18:17:03.5+00:00", "2023-11-16T19:17:06+0100"],
        ["2023-11-16 18:17", "2023-11-16 18:17:00.5", "2023-11-16 18:17:03"],
        ["1969-12-31 23:59:59", "1969-12-31 23:59:59.5", "1970-01-01 00:00:02"],
        ["1700000000.1", "1700000000.6", "1700000003.1"],
        ["1700000000000", "1700000000500", "1700000003000"],
        ["1700000000000000", "1700000000500000", "1700000003000000"],
        ["1700000000000000000", "1700000000500000000", "1700000003000000000"],
        ["12", "12.5", "15"],
        ["12s", "12500ms", "15s"],
    ],
)
def test_moments_are_read_as_logs_write_them(tmp_path: Path, cells: list[str]) -> None:
    """ISO 8601 with or without a zone, time since 1970 in any unit, which its size tells; all exact."""
    assert moments(tmp_path, cells) == [0.0, 0.5, 3.0]


def test_parquet_has_moments_and_durations_of_its_own(tmp_path: Path) -> None:
    """Typed columns need no spelling; with a zone or none."""
    moment = dt.datetime(2024, 3, 31, 12, 0, tzinfo=dt.UTC)
    began, zoned = moment.replace(tzinfo=None), [moment + dt.timedelta(seconds=each) for each in (1, 2.5)]
    data = parquet(a=[began, began], b=zoned, c=[dt.timedelta(seconds=1), None])
    assert trace(tmp_path, data, start="a", end="b").seconds.tolist() == [1.0, 2.5]
    assert trace(tmp_path, data, column="c", missing="skip").seconds.tolist() == [1.0]
    assert refused(tmp_path, data, column="a") == [
        "cannot read t.csv: its column 'a' holds Datetime, no durations"
    ]


def test_a_span_that_ends_before_it_starts_is_a_fault_or_is_counted(tmp_path: Path) -> None:
    """Rows that never ended, or ended too early, are named with their lines."""
    data = "a,b\n1700000000,1700000002\n1700000000,\n1700000000,1699999999\n"
    assert refused(tmp_path, data, start="a", end="b") == [
        "t.csv line 3: b: there is no value; `missing: skip` leaves such rows out",
        "t.csv line 4: it ends before it starts; `missing: skip` leaves such rows out",
    ]
    ours = trace(tmp_path, data, start="a", end="b", missing="skip")
    assert ours.found().left_out == {"missing": 1, "below_zero": 1}


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"start": "a"}, "start and end go together; give end too, or column alone"),
        ({"end": "a"}, "start and end go together; give start too, or column alone"),
        ({"start": "a", "end": "b", "column": "c"}, "give either column, or start and end"),
    ],
)
def test_a_span_has_a_start_and_an_end(tmp_path: Path, keys: dict[str, str], fault: str) -> None:
    """Half of it, or a column besides, is a fault."""
    assert refused(tmp_path, "a,b,c\n1,2,3\n", **keys) == [fault]


def spans(began: Any, ended: Any, decimals: tuple[int, int]) -> str:
    return "a,b\n" + "".join(
        f"{a:.{decimals[0]}f},{b:.{decimals[1]}f}\n" for a, b in zip(began, ended, strict=True)
    )


DRAWN = np.random.default_rng(11)
BEGAN = 1_700_000_000 + np.cumsum(DRAWN.exponential(7, 4000))
TOOK = DRAWN.gamma(4, 2, 4000)


@pytest.mark.parametrize(
    ("decimals", "spread"), [((0, 0), "difference"), ((3, 0), "nearest"), ((0, 3), "nearest")]
)
def test_two_rounded_moments_make_a_triangle_of_errors(
    tmp_path: Path, decimals: tuple[int, int], spread: str
) -> None:
    """Whatever the two columns are rounded to, the law of the durations comes out as it was."""
    ours = trace(tmp_path, spans(BEGAN, BEGAN + TOOK, decimals), start="a", end="b", missing="skip")
    assert ours.spread == spread
    assert ours.sample.mean() == pytest.approx(TOOK.mean(), abs=0.03)
    assert stats.kstest(TOOK, ours.cdf).pvalue > 1e-3
    assert (np.diff(ours.ppf((np.arange(10_000) + 0.5) / 10_000)) > 0).all()


def test_the_triangle_is_that_of_two_uniform_errors() -> None:
    """A difference of 3 steps lies between 2 and 4; one of none is never below zero."""
    ours, errors = Sample(np.array([3.0]), np.ones(1), "difference"), DRAWN.random((2, 4000))
    assert stats.kstest(3.0 + errors[0] - errors[1], ours.cdf).pvalue > 1e-3
    assert stats.kstest(ours.scattered(DRAWN.random(4000)), ours.cdf).pvalue > 1e-3
    assert ours.cdf(np.array([2.0, 2.5, 3.0, 4.0])).tolist() == [0.0, 0.125, 0.5, 1.0]
    none = Sample(np.zeros(1), np.ones(1), "difference")
    assert none.cdf(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 0.75, 1.0]
    assert none.mean() == pytest.approx(1 / 3, abs=0.011)


def test_a_timetable_is_no_rounding(tmp_path: Path) -> None:
    """Jobs that cron starts each five minutes are known to the second at worst."""
    began = 1_700_000_100 + 300.0 * np.arange(400)
    ours = trace(tmp_path, spans(began, began + TOOK[:400], (3, 3)), start="a", end="b")
    assert max(ours.found().steps, key=float) == "1"


@pytest.mark.parametrize(("rounding", "bias"), [("floor", 0.5), ("ceil", -0.5), ("nearest", 0.0)])
def test_a_start_that_is_cut_makes_its_duration_too_long(tmp_path: Path, rounding: Any, bias: float) -> None:
    """The cell of a rounded start lies on the other side of its duration than that of a rounded end."""
    data = spans(np.floor(BEGAN), BEGAN + TOOK, (0, 3))
    ours = trace(tmp_path, data, start="a", end="b", rounding=rounding)
    assert ours.sample.mean() == pytest.approx(TOOK.mean() + 0.5 - bias, abs=0.05)


TABLE = "status,n,x y,s\nsuccess,1,true,1\nfailed,2,False,2\n success ,3,TRUE,3\n,4,,4\n"


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ('status == "success"', [1, 3]),
        ("status != 'success'", [2, 4]),
        ('status in ("success", "")', [1, 3, 4]),
        ("status not in ['failed']", [1, 3, 4]),
        ("n < 3 and not n == 1", [2]),
        ("n >= 3 or n == 1", [1, 3, 4]),
        ("1 < n <= 3", [2, 3]),
        ("3 > n", [1, 2]),
        ("n == -1 or n != 2.0", [1, 3, 4]),
        ("status > 5", None),
        ("status != 5", [1, 2, 3, 4]),
        ("`x y` == true", [1, 3]),
        ("`x y` == False", [2]),
        ("n == s and s <= n", [1, 2, 3, 4]),
        ("n == 99", None),
    ],
)
def test_the_rows_that_count_are_those_in_which_a_condition_holds(
    tmp_path: Path, where: str, kept: list[float] | None
) -> None:
    """Text is compared as text, numbers as numbers; the others are counted, whatever they hold."""
    if kept is None:
        assert refused(tmp_path, TABLE, column="s", where=where) == [
            "t.csv has no value that counts, none of its 4 rows: 4 by `where`"
        ]
        return
    ours = trace(tmp_path, TABLE, column="s", where=where)
    assert ours.seconds.tolist() == kept
    assert ours.found().left_out == ({"where": 4 - len(kept)} if len(kept) < 4 else {})


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ('status = "success"', "is no condition; a comparison is written =="),
        ("statu == 'success'", "t.csv has no column 'statu'; did you mean 'status'?"),
        ("__import__('os').system('x')", "is no comparison; compare columns"),
        ("[n for n in s] == 1", "is no column and no value"),
        ("n.__class__ == 1", "has no column 'n.__class__'"),
        ("n + 1 == 2", "is no column and no value"),
        ("1 == 1", "is compared with no column"),
        ("n", "is no comparison"),
        ("n is 1", "compare with ==, !=, <"),
        ("n in 5", "`in` takes a list of values"),
        ("n in []", "`in` takes a list of values"),
        ("", "is no condition"),
        ("(" * 500 + "n == 1", "is no condition"),
        ("n == 1 or " * 200, "at most 1000 characters"),
    ],
)
def test_a_condition_that_is_none_has_a_remedy(tmp_path: Path, where: str, fault: str) -> None:
    """The grammar is small and read, never run."""
    (said,) = refused(tmp_path, TABLE, column="s", where=where)
    assert fault in said


@given(st.text(max_size=40) | st.text("n=<>! ()[]'\"andortiu.1`-+,", max_size=40))
def test_any_text_is_a_condition_or_a_fault(text: str) -> None:
    """Nothing that somebody writes there makes an error of another kind."""
    try:
        condition = Where(text)
    except ValueError as error:
        condition = None
        said = str(error)
    if condition is None:
        assert len(said) < 400
    else:
        held = condition.rows({name: pl.Series(["1", None]) for name in condition.names})
        assert held.dtype == pl.Boolean
        assert held.null_count() == 0


def test_rows_without_a_value_are_left_out_when_asked_and_counted(tmp_path: Path) -> None:
    """Empty cells, the usual words for nothing and impossible durations; anything else stays a fault."""
    data = "id,s\na,1\nb,\nc,NA\nd,-1906073\ne,null\nf,2\n"
    ours = trace(tmp_path, data, column="s", missing="skip")
    assert ours.seconds.tolist() == [1, 2]
    assert ours.found().left_out == {"missing": 3, "below_zero": 1}
    assert "2 of 6 rows (left out: 3 without a value, 1 with one below zero)" in ours.found().notes[0]
    assert refused(tmp_path, data + "g,soon\n", column="s", missing="skip")[0].startswith(
        "t.csv line 8: 'soon' is not a duration"
    )


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (1, "1 value is few: not enough for p50 (from 6), p90 (from 36), p95 (from 72) or p99 (from 368)"),
        (71, "71 values are few: enough for p50 and p90, not for p95 (from 72) or p99 (from 368)"),
        (367, "367 values are few: enough for p50, p90 and p95, not for p99 (from 368)"),
        (368, None),
    ],
)
def test_a_thin_trace_says_what_it_supports(tmp_path: Path, rows: int, said: str | None) -> None:
    """By the rule of the report's own quantiles, which need as many jobs."""
    found = trace(tmp_path, "s\n" + "1.5\n" * rows).found()
    assert [note for note in found.notes if "few" in note] == ([said] if said else [])
    assert found.supports == tuple(p for p in (0.5, 0.9, 0.95, 0.99) if rows >= needed(p))


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        ("id,s\n1,2\n2,12,5\n", ["t.csv line 3: 3 cells below 2 names; write numbers with a decimal point"]),
        ('id,s\n"a\nb",2\n"c",soon\n', ["t.csv line 4: 'soon' is not a duration"]),
        ('id,s\n1,2\n"a,3\nb,4\n', ["t.csv line 3: a quote is opened here and never closed"]),
        ("\n\nid,s\n\n1,soon\n", ["t.csv line 5: 'soon' is not a duration"]),
        ('{"s": 1}\n\n5\n{"s":\n', ["t.csv line 3: is no JSON object", "t.csv line 4: is no JSON object"]),
        ('{\n"s": 1\n}\n', ["cannot read t.csv: its first line is no JSON object; write one object a line"]),
        ('[{"s": 1}]', ["cannot read t.csv: it is a list in JSON; write one object a line"]),
        ('{"s": [1]}\n{"s": true}\n', ["t.csv line 1: '[1]' is not", "t.csv line 2: 'true' is not"]),
        ('{"S": 1}\n', ["t.csv has no column 's'; did you mean 'S'?"]),
        ('{"s": 1}\n{"S": 2}\n', ["t.csv has 2 columns of that name: 's', 'S'"]),
        (parquet(s=[1], S=[1]), ["t.csv has 2 columns of that name: 's', 'S'"]),
        (parquet(s=[[1]]), ["cannot read t.csv: its column 's' holds bytes, lists or structures"]),
        (parquet(s=["1", "soon"]), ["t.csv row 2: 'soon' is not a duration"]),
        (b"PAR1" + bytes(50), ["cannot read t.csv: it is damaged, or no Parquet"]),
        (b"PK\x03\x04", ["cannot read t.csv: it is a ZIP archive or a spreadsheet"]),
        ("s\n1\n".encode("utf-16"), ["cannot read t.csv: it is UTF-16 text; save it as UTF-8"]),
        (
            gzip.compress(b"s\n1\n", mtime=0)[:-6],
            ["cannot read t.csv: what is packed in it is damaged or cut off"],
        ),
        ("s\n" + "soon\n" * 9, [*["t.csv line"] * 5, "t.csv: 4 more lines are like these"]),
    ],
)
def test_each_fault_of_a_file_has_its_place(tmp_path: Path, data: str | bytes, faults: list[str]) -> None:
    """In the file's own lines, however many of them a cell or a blank line has taken."""
    said = refused(tmp_path, data, column="s")
    assert len(said) == len(faults)
    assert all(one.startswith(each) for one, each in zip(said, faults, strict=True))


SOUND = [
    "id,s,t\n" + "1,2,3\n\n" * 3,
    'id,s\n"a\nb",2\n"c, d",3\n',
    "s\n2\n",
    "s;t\r\n2;\r\n",
    '{"s": 2}\n{"t": 1, "s": "3s"}\n',
]


@pytest.mark.parametrize("data", SOUND)
def test_a_sound_file_is_read_once(tmp_path: Path, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polars takes what is well formed, ragged or quoted; row by row it would take five times as long."""
    monkeypatch.setattr("scenarios.draws._tables._Csv._slowly", None)
    monkeypatch.setattr("scenarios.draws._tables._JsonLines._slowly", None)
    assert trace(tmp_path, data, column="s").seconds[0] == 2


@pytest.mark.parametrize(
    "data", ['id,s\na,1\n5" disk,2\n', "id,s\na,1,,\nb,2,,\n", "id,s\r\n;,1\r\n\r\n,,\r\nb,2\r\n"]
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, data: str) -> None:
    """Quotes within a cell, delimiters at the ends of lines, rows of delimiters alone."""
    assert trace(tmp_path, data, column="s", missing="skip").seconds.tolist() == [1, 2]


SECRET = "AKIA-s3cret-line"


@pytest.mark.parametrize(
    "data", [f"{SECRET}:x:0\nroot:/bin/sh\n", f"--{SECRET}--\n1\n", f"a,{SECRET * 9}\n1,2\n"]
)
def test_a_file_that_is_no_table_is_not_repeated(tmp_path: Path, data: str) -> None:
    """What does not look like the name of a column is not named as one."""
    (said,) = refused(tmp_path, data, column="seconds")
    assert SECRET not in said


def test_a_cell_is_quoted_alone_short_and_escaped(tmp_path: Path) -> None:
    """At most 80 characters, none of which can act on a terminal."""
    said = refused(tmp_path, f"id,s\n{SECRET},{'x' * 500}\n{SECRET},\x1b[31m\n", column="s")
    assert not any(SECRET in each or "x" * 80 in each or "\x1b" in each for each in said)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda path: path.mkdir(), "no regular file"),
        (lambda path: os.mkfifo(path), "no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
        (lambda path: path.write_bytes(b"s,t\n1," + b"x" * (2 << 20)), "its line 2 is longer than 1 MiB"),
        (lambda path: path.write_bytes(b"s\n" + b"1\n" * 10_000_001), "more than 10,000,000 lines"),
        (lambda path: path.write_bytes(gzip.compress(bytes(300 << 20), 1)), "more than 256 MiB"),
        (lambda path: os.truncate(_touched(path), 300 << 20), "it has more than 256 MiB"),
    ],
    ids=["folder", "pipe", "device", "long line", "many lines", "gzip bomb", "large file"],
)
def test_what_would_take_for_ever_is_one_fault(tmp_path: Path, make: Any, fault: str) -> None:
    """Nothing is waited for, and nothing is read beyond the bounds."""
    make(tmp_path / "t")
    reading = read(Request(tmp_path / "t", ("s",), "durations", None, None, False))
    assert len(reading.faults) == 1
    assert fault in reading.faults[0]


def _touched(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        ({"s": pl.Series([1.0]).new_from_index(0, 10_000_001)}, "it has more than 10,000,000 rows"),
        pytest.param(
            {"s": pl.Series(["x" * (1 << 20)]).new_from_index(0, 3_000)},
            "takes more than 2 GiB of memory",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["rows", "memory"],
)
def test_a_parquet_bomb_is_one_fault(tmp_path: Path, frame: dict[str, pl.Series], fault: str) -> None:
    """A file of a kilobyte may unfold to gigabytes: a process of its own does that, and dies of it."""
    data = parquet(**frame)
    assert len(data) < 100_000
    (said,) = refused(tmp_path, data, column="s")
    assert fault in said


def test_a_process_of_its_own_reads_the_same(tmp_path: Path) -> None:
    """What reads a file apart, for a process that forks later, gives what is read here."""
    request = Request(
        Path(file_of(tmp_path, TABLE)), ("s",), "durations", "ms", 'status == "success"', skip=True
    )
    here, there = read(request), read_apart(request)
    assert (
        [each.tolist() for each in here.values]
        == [each.tolist() for each in there.values]
        == [[0.001, 0.003]]
    )
    assert replace(here, values=()) == replace(there, values=())


def test_locusts_door_reads_traces_without_threads(tmp_path: Path) -> None:
    """A process that forks later must not have loaded what reads them: its threads do not survive that."""
    file_of(tmp_path, "s\n1\n2\n")
    (tmp_path / "x.yaml").write_text(
        "name: x\njob: {duration: {type: trace, file: t.csv}}\n"
        "workload: {lanes: 1, arrivals: {type: burst, size: 2}, jobs: 2}\n"
        "settings: {a: {curve: constant, initial: 1s}}\n"
    )
    code = (
        "import sys; from harness.live._arguments import options_asked_for; "
        f"options = options_asked_for(['--scenario', {str(tmp_path / 'x.yaml')!r}]); "
        "print(options.scenario.job.duration.mean(), 'polars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.5", "False"]


@pytest.mark.parametrize("missing", ["error", "skip"])
def test_a_duration_beyond_a_year_is_a_fault_of_its_row(tmp_path: Path, missing: str) -> None:
    """As in YAML; such rows are never left out silently, for they may be a wrong unit."""
    said = "it lasts longer than 366 days, as nothing here does; give `unit` if it is not in seconds"
    data = "seconds\n1\n1e308\n31622400\n31622401\n"
    assert refused(tmp_path, data, missing=missing) == [f"t.csv line 3: {said}", f"t.csv line 5: {said}"]
    spans = "a,b\n2020-01-01T00:00:00Z,2020-01-01T00:00:04Z\n2020-01-01T00:00:00Z,2023-01-01T00:00:00Z\n"
    assert refused(tmp_path, spans, start="a", end="b", missing=missing) == [f"t.csv line 3: {said}"]
