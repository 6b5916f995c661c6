"""YAML documents: plain data with line numbers, and faults in words that say what would be right."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scenarios import FAULTS, Simulation
from scenarios.documents import (
    Diagnostic,
    DocumentError,
    parse_number,
    parse_rate,
    parse_seconds,
    read_document,
    validate,
)

Refuse = Callable[[str | bytes], list[str]]


@pytest.fixture
def refused(tmp_path: Path) -> Refuse:
    """Give the faults of a text as a simulation, each as "line: path: message"."""

    def faults(text: str | bytes) -> list[str]:
        file = tmp_path / "x.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(DocumentError) as caught:
            validate(read_document(file), Simulation)
        lines = str(caught.value).split("\n")
        assert all(line.startswith(f"{file}:") for line in lines)
        return [line.removeprefix(f"{file}:") for line in lines]

    return faults


def test_data_is_what_safe_load_gives(tmp_path: Path) -> None:
    """Anchors, aliases, merge keys, comments, a byte order mark and flow style mean what they usually do."""
    text = """\
base: &base {duration: 4s, error_rate: .5}
other: &other {slots: 2}
job:
  <<: [*base, *other]
  error_rate: 1
  "on": [1, 0x10, 1_000, ~, true, 'text', "5", 2024-01-01]
  deep: {<<: {<<: *other, a: 1}, b: *base}
"""
    file = tmp_path / "x.yaml"
    file.write_text("\ufeff" + text, encoding="utf-8")
    assert read_document(file).data == yaml.safe_load(text)


def test_every_value_knows_its_lines(tmp_path: Path) -> None:
    """A path leads to the line of its value or its key; one that does not exist, to its parent's key."""
    file = tmp_path / "x.yaml"
    file.write_text("# comment\nseed: 1\njob:\n  duration:\n    4s\nlist:\n- 1\n- a: 2\n  b: {c: 3}\n")
    document = read_document(file)
    assert document.line_of(("seed",)) == 2
    assert document.line_of(("job",)) == 4
    assert document.line_of(("job",), key=True) == 3
    assert document.line_of(("job", "duration")) == 5
    assert document.line_of(("job", "nonsense", "more")) == 3
    assert document.line_of(("list", 1, "b", "c")) == 9
    assert document.line_of(("nonsense",)) == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1: the file is empty"),
        ("# only a comment\n", "1: the file is empty"),
        ("\n- 1\n", "2: the top level must be a mapping of 'key: value' lines, not a list"),
        ("text", "1: the top level must be a mapping of 'key: value' lines, not a single value"),
        ("seed: 1\njob:\n\tduration: 1", "3: a tab cannot indent or separate YAML; use spaces"),
        (b"seed: 1\njob: \xff", "2: this is not UTF-8 text; save the file as UTF-8"),
        ("seed: 1\njob: \x00", "2: the character U+0000 is not allowed in YAML"),
        ("seed: 1\njob: 'x\n\n", "2: a quote is opened here and never closed"),
        (
            "seed: 1\njob: [1,\nservice: 2\n",
            "2: a bracket is opened here and not closed; expected ',' or ']', but got ",
        ),
        (
            "job:\n   a: 1\n  b: 2\n",
            "3: this does not line up with the lines above; check the indentation",
        ),
        (
            "job: a: 1\n",
            "1: a second ': ' on one line, or a wrong indentation; text with ': ' in it needs quotes",
        ),
        ("seed: 1\njob\nservice: 2\n", "2: not a 'key: value' line"),
        ("seed: 1\njob: *x\n", "2: the alias *x has no anchor of that name above it"),
        ("seed: 1\n---\nseed: 2\n", "2: one document to a file; remove the second '---'"),
        ("seed: @1\n", "1: a value cannot start with '@'; put it in quotes"),
        ("? [1]\n: 2\n", "1: a key must be plain text, not a list or a mapping"),
        ("%YAML 3.0\n---\nseed: 1\n", "1: not valid YAML: found incompatible YAML document"),
        ("job: &a [*a]\n", "1: an alias stands inside of what it is an alias for"),
        ("job: &a {<<: *a}\n", "1: an alias stands inside of what it is an alias for"),
        ("seed: 1\njob: " + "[" * 10_000, "2: nested more than 100 levels deep"),
        ("seed: 1\njob:\n" + "- " * 10_000, "3: nested more than 100 levels deep"),
        ("a: " + "x" * 2**20, "1: the file is larger than 1 MiB; is it the right one?"),
    ],
)
def test_text_that_is_no_document_is_refused_with_its_line(
    refused: Refuse, text: str | bytes, fault: str
) -> None:
    """A file that gives no data has one fault: the line to look at, and what would be right."""
    (line,) = refused(text)
    assert line.startswith(fault)


@pytest.mark.parametrize("entry", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_that_multiply_are_refused(refused: Refuse, entry: str) -> None:
    """A small file whose aliases (or merges) expand to a billion values is refused at once."""
    lines = ["a0: &a0 {k: 1}"]
    lines += [
        f"a{level}: &a{level} " + entry.format(", ".join([f"*a{level - 1}"] * 10)) for level in range(1, 10)
    ]
    (fault,) = refused("\n".join(lines))
    assert fault.endswith("the aliases expand to more than 100,000 values")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "there is no such file"),
        (lambda path: path.mkdir(), "this is a folder; name a YAML file in it"),
    ],
)
def test_a_path_that_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    """A missing file and a folder are faults like any other."""
    path = tmp_path / "x.yaml"
    make(path)
    with pytest.raises(DocumentError) as caught:
        read_document(path)
    assert caught.value.diagnostics == (Diagnostic(str(path), 1, "", message),)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    """A file without read permission says so."""
    path = tmp_path / "x.yaml"
    path.touch(mode=0)
    with pytest.raises(DocumentError, match="Permission denied"):
        read_document(path)


def test_traps_of_yaml_are_reported_together_with_all_other_faults(refused: Refuse) -> None:
    """Duplicate keys, keys that are not text, base 60 and strange tags do not hide the faults of the data."""
    text = """\
seed: 1:30
job:
  duration: 4s
  duration: 5s
  yes: 1
  slots: !many 3
service:
  retry_after: 0x_
  delay: -1
7: 8
"""
    assert refused(text) == [
        "1: seed: YAML reads 1:30 in base 60, as 90; for a time write 1m30s or 1h30m, whichever is meant, "
        "else write the plain number",
        "4: job.duration: duplicate key, first given on line 3; keep one",
        "5: job.yes: YAML reads this key as bool; put it in quotes",
        "6: job.slots: the tag !many is not supported; remove it",
        "8: service.retry_after: 0x_ cannot be read; put it in quotes if it is text",
        "9: service.delay: must be zero or more, not -1",
        "10: 7: YAML reads this key as int; put it in quotes",
    ]


def test_duplicates_are_those_that_are_written(refused: Refuse) -> None:
    """A key that overrides a merged one is no duplicate; two keys in a deep flow mapping are."""
    assert refused(
        "base: &b {duration: 1s}\njob: {<<: *b, duration: 2s}\nservice: {delay: 1, 'delay': 2}\n"
    ) == [
        "1: base: unknown key; the keys here are seed, job, service",
        "3: service.delay: duplicate key, first given on line 3; keep one",
    ]


def test_a_merge_takes_mappings_only(refused: Refuse) -> None:
    """What stands after << must be a mapping, or a list of such."""
    assert refused("job: {<<: 3, duration: 1s}\n") == [
        "1: job.<<: '<<' takes an alias of a mapping, or a list of such"
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("5 sec", "'5 sec' is not a duration; write 5s"),
        ("5.5 Minutes", "'5.5 Minutes' is not a duration; write 5.5m"),
        ("250 ms", "'250 ms' is not a duration; write 250ms"),
        ("1e3", "'1e3' is not a duration; YAML reads 1e3 as text; write 1000"),
        ("1.0e3", "'1.0e3' is not a duration; YAML reads 1.0e3 as text; write 1000"),
        ("08", "'08' is not a duration; YAML reads 08 as text; write 8"),
        ("010", "YAML reads 010 in base 8, as 8; write 10 without the leading zero"),
        ("1,5", "'1,5' is not a duration; write 1.5, with a decimal point"),
        ("1,5s", "'1,5s' is not a duration; write 1.5s, with a decimal point"),
        ("1,234", "'1,234' is not a duration; write 1234, or 1.234 if the comma is a decimal one"),
        ("0o17", "'0o17' is not a duration; write 15"),
        ("'4'", "'4' is not a duration; write 4 as a plain number of seconds, without quotes"),
        ("'1:30'", "'1:30' is not a duration; write 1m30s or 1h30m, whichever is meant"),
        ("'00:05:00'", "'00:05:00' is not a duration; write 5m"),
        ("1:30:00", "YAML reads 1:30:00 in base 60, as 5400; for a time write 1h30m, else write the plain"),
        ("1h30", "'1h30' is not a duration; write 1h30m"),
        ("1 hour, 30 minutes", "'1 hour, 30 minutes' is not a duration; write 1h 30m"),
        ("30m1h", "'30m1h' is not a duration; write its units from the longest to the shortest, each once"),
        ("P1M", "'P1M' is not a duration; an ISO 8601 duration here has weeks, days, hours, minutes and"),
        ("-5s", "'-5s' is not a duration; a duration must not be negative"),
        (
            "soon",
            "'soon' is not a duration; write a number of seconds, or a number with ms, s, m, h or d, "
            "such as 250ms, 5s, 2m, 1h30m",
        ),
        ("-0.5", "must be zero or more, not -0.5"),
        (".nan", "must be a finite number of seconds, not nan"),
        (".inf", "must be a finite number of seconds, not inf"),
        ("1" + "0" * 400, "must be a finite number of seconds, not 1000"),
        ("true", "must be a duration, not true; write a number of seconds, or 250ms, 5s, 2m"),
        ("null", "must be a duration, not null (nothing); write a number of seconds, or 250ms, 5s, 2m"),
        ("2024-01-01", "must be a duration, not a date; write a number of seconds, or 250ms, 5s, 2m"),
    ],
)
def test_a_wrong_duration_says_what_to_write(refused: Refuse, value: str, message: str) -> None:
    """Whatever stands where a duration belongs, the message leads to a right one."""
    (fault,) = refused(f"job:\n  duration:\n    {value}\n")
    assert fault.startswith(f"3: job.duration: {message}")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0", 0),
        ("4", 4),
        ("0.25", 0.25),
        ("250ms", 0.25),
        ("5s", 5),
        ("1.5m", 90),
        ("2h", 7200),
        ("-0.0", 0),
        ("1d", 86400),
        ("500us", 0.0005),
        ("1h30m", 5400),  # Locust's --run-time
        ("1h 28m 15s", 5295),  # GitHub Actions
        ("2m13s", 133),  # kubectl
        ("PT15S", 15),  # ISO 8601
        ("P1DT2H0M0.5S", 93600.5),
    ],
)
def test_a_right_duration_is_in_seconds(tmp_path: Path, written: str, seconds: float) -> None:
    """Plain numbers are seconds; units may follow each other; ISO 8601 is understood."""
    file = tmp_path / "x.yaml"
    file.write_text(f"job: {{duration: {written}}}\n")
    assert str(validate(read_document(file), Simulation).job.duration.mean()) == str(float(seconds))


SOUND = """\
seed: 1
job:
  duration: {type: lognormal, median: 4s, sigma: 0.6}
service:
  delay: {type: mixture, of: [{weight: 1, type: fixed, value: 1ms}]}
  faults:
  - status: 503
    rate: 0.5
  rate_limit: {rate: 200, burst: 50}
  capacity: {workers: 8, service_time: 2ms}
  outages: [{start: 20s, length: 5s}]
"""


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        ("seed: 1", "sed: 1", ["1: sed: unknown key; did you mean 'seed'?"]),
        ("seed: 1", "seed: true", ["1: seed: must be a whole number, not true"]),
        ("seed: 1", "seed: -1", ["1: seed: must be at least 0, not -1"]),
        ("seed: 1", "seed: '1'", ["1: seed: must be a whole number, not '1'; write 1, without quotes"]),
        ("seed: 1", f"seed: {2**64}", [f"1: seed: must be at most {2**64 - 1}, not {2**64}"]),
        (
            "duration:",
            "Duration:",
            [
                "2: job.duration: this key is required and missing",
                "3: job.Duration: unknown key; did you mean 'duration'?",
            ],
        ),
        ("lognormal", "lognorml", ["3: job.duration.type: 'lognorml' is unknown; did you mean 'lognormal'?"]),
        (
            "type: lognormal, ",
            "",
            [
                "3: job.duration: needs a type: one of fixed, uniform, exponential, normal, gamma, weibull, "
                "lognormal, trace, mixture"
            ],
        ),
        (
            ", sigma: 0.6",
            "",
            [
                "3: job.duration: needs either sigma (spread of the logarithm) or p99 (a duration above the "
                "median)"
            ],
        ),
        (
            "sigma: 0.6",
            "sigma: 0.6, p99: 9",
            ["3: job.duration.p99: sigma and p99 say the same thing twice; keep one of them"],
        ),
        ("sigma: 0.6", "p99: 4s", ["3: job.duration.p99: must be above the median (4), not 4"]),
        ("sigma: 0.6", "sigma: 0", ["3: job.duration.sigma: must be more than 0, not 0"]),
        (
            "{type: lognormal, median: 4s, sigma: 0.6}",
            "{type: uniform, lower: 2, upper: 1}",
            ["3: job.duration.upper: must be above lower (2), not 1"],
        ),
        (
            "{type: lognormal, median: 4s, sigma: 0.6}",
            "[1]",
            ["3: job.duration: must be a duration, not a list; write a number of seconds, or 250ms, 5s, 2m"],
        ),
        (
            "weight: 1, type: fixed",
            "type: fixd",
            ["5: service.delay.of[0].type: 'fixd' is unknown; did you mean 'fixed'?"],
        ),
        ("weight: 1", "weight: 0", ["5: service.delay.of[0].weight: must be more than 0, not 0"]),
        (
            "[{weight: 1, type: fixed, value: 1ms}]",
            "[]",
            ["5: service.delay.of: needs at least one component: {weight: 1, type: ...}"],
        ),
        (
            "    rate: 0.5\n",
            "    rate: 0.5\n  - {fault: CONNECTION_RESET_BY_PEER, rate: 0.6}\n",
            ["6: service.faults: the rates of all faults sum to 1.1; they may sum to at most 1"],
        ),
        (
            "status: 503",
            "retry_after: 1",
            [f"7: service.faults[0]: needs a status (400 to 599) or fault: one of {', '.join(FAULTS)}"],
        ),
        (
            "status: 503",
            "status: 503\n    fault: CONNECTION_RESET_BY_PEER",
            ["8: service.faults[0].fault: a fault has a status or a name; keep one of status and fault"],
        ),
        (
            "status: 503",
            "fault: CONNECTION_RESET",
            [
                "7: service.faults[0].fault: 'CONNECTION_RESET' is unknown; did you mean "
                "'CONNECTION_RESET_BY_PEER'?"
            ],
        ),
        (
            "status: 503",
            "fault: CONNECTION_RESET_BY_PEER\n    retry_after: 1s",
            ["8: service.faults[0].retry_after: CONNECTION_RESET_BY_PEER has no Retry-After; remove it"],
        ),
        ("status: 503", "status: 200", ["7: service.faults[0].status: must be at least 400, not 200"]),
        (
            "  - status: 503\n    rate: 0.5\n",
            "    rate: 0.5\n",
            ["7: service.faults: must be a list, not a mapping"],
        ),
        ("burst: 50", "burst: 1.5", ["9: service.rate_limit.burst: must be a whole number, not 1.5"]),
        (
            "rate: 200",
            "rate: fast",
            [
                "9: service.rate_limit.rate: must be a number, not 'fast'; write it per second, or with /s, "
                "/min, /h or /d, such as 10/min"
            ],
        ),
        (
            "rate: 200",
            "rate: 10/60",
            ["9: service.rate_limit.rate: must be a number, not '10/60'; write 10/min"],
        ),
        (
            "rate: 200",
            "rate: 5 per hour",
            ["9: service.rate_limit.rate: must be a number, not '5 per hour'; write 5/h"],
        ),
        ("rate: 200", "rate: 0/s", ["9: service.rate_limit.rate: must be more than 0, not '0/s'"]),
        (
            "seed: 1",
            "seed: 010",
            ["1: seed: YAML reads 010 in base 8, as 8; write 10 without the leading zero"],
        ),
        (
            "length: 5s",
            "length: 1,5s",
            ["11: service.outages[0].length: a comma separates keys here; write 1.5s, with a decimal point"],
        ),
        (
            "burst: 50",
            "burst: 1e3",
            [
                "9: service.rate_limit.burst: must be a whole number, not '1e3'; YAML reads 1e3 as text; "
                "write 1000"
            ],
        ),
        (
            "{rate: 200, burst: 50}",
            "200",
            ["9: service.rate_limit: must be a mapping of 'key: value' lines, not 200"],
        ),
        ("workers: 8", "workers: 0", ["10: service.capacity.workers: must be at least 1, not 0"]),
        (
            "workers: 8",
            "workers: 8, discipline: lifo",
            ["10: service.capacity.discipline: 'lifo' is unknown; did you mean 'fifo'?"],
        ),
        ("length: 5s", "length: 0", ["11: service.outages[0].length: must be more than 0, not 0"]),
        (
            "seed: 1",
            "service2: {}\nseed: 1\nzzz: 1",
            [
                "1: service2: unknown key; did you mean 'service'?",
                "3: zzz: unknown key; the keys here are seed, job, service",
            ],
        ),
    ],
)
def test_each_fault_has_its_line_its_path_and_its_remedy(
    refused: Refuse, old: str, new: str, faults: list[str]
) -> None:
    """One thing made wrong gives exactly the faults to expect, and no other."""
    assert SOUND.count(old) == 1
    assert refused(SOUND.replace(old, new)) == faults


def test_all_faults_come_at_once_in_the_order_of_lines(refused: Refuse) -> None:
    """Faults of single keys, of choices between keys and of several mappings do not hide one another."""
    text = (
        SOUND.replace("seed: 1", "seed: x")
        .replace(", sigma: 0.6", ", sgima: 0.6")
        .replace("rate: 0.5", "rate: 2")
        .replace("workers: 8", "worker: 8")
    )
    assert [fault.split(": ")[1] for fault in refused(text)] == [
        "seed",
        "job.duration",
        "job.duration.sgima",
        "service.faults[0].rate",
        "service.capacity.worker",
        "service.capacity.workers",
    ]


@pytest.mark.parametrize(
    ("csv", "column", "faults"),
    [
        (None, "s", ["cannot read t.csv: No such file or directory"]),
        ("", "s", ["cannot read t.csv: it is empty"]),
        ("a,b\n1,2\n", "s", ["t.csv has no column 's'; the columns named in its first line: 'a', 'b'"]),
        ("id,S\n1,2\n", "s", ["t.csv has no column 's'; did you mean 'S'?"]),
        ("s,S\n1,2\n", "s", ["t.csv has 2 columns of that name: 's', 'S'; give each a name of its own"]),
        ("s,s\n1,2\n", "s", ["t.csv has 2 columns of that name: 's', 's'; give each a name of its own"]),
        ("id;s\n1;x\n", "s", None),
        ("s\n", "s", ["t.csv has no rows below its header; give at least one value"]),
        (
            "a,s\n1,2\n1,-3\n1,\n\n1,4 sec\n1\n",
            "s",
            [
                "t.csv line 3: must be zero or more, not '-3'; `missing: skip` leaves such rows out",
                "t.csv line 4: there is no value; `missing: skip` leaves such rows out",
                "t.csv line 6: '4 sec' is not a duration; write 4s",
                "t.csv line 7: there is no value; `missing: skip` leaves such rows out",
            ],
        ),
        ("s\n" + "nan\n" * 9, "s", None),
        (b"s\n\xff\n", "s", ["cannot read t.csv: it is not UTF-8 text"]),
        (b's\n"\0', "s", None),
        (b"\x1f\x8b\x08\0", "s", None),
    ],
)
def test_a_faulty_trace_is_reported_by_the_lines_of_the_csv(
    refused: Refuse, tmp_path: Path, csv: str | bytes | None, column: str, faults: list[str] | None
) -> None:
    """Each bad row of a CSV file is a fault at the key `file`, five at most; paths start at the YAML file."""
    if csv is not None:
        (tmp_path / "t.csv").write_bytes(csv if isinstance(csv, bytes) else csv.encode())
    found = refused(f"job:\n  duration: {{type: trace, file: t.csv, column: {column}}}\n")
    assert all(fault.startswith("2: job.duration.file: ") for fault in found)
    assert len(found) <= 6
    if faults is not None:
        assert sorted(fault.removeprefix("2: job.duration.file: ") for fault in found) == sorted(faults)


YAML_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.binary(max_size=3)
    | st.sampled_from(["4s", "lognormal", "fixed", "trace", "eta", "none", "constant", ""])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "value", "of", "weight", "median", "file", "column", "rate", "status", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
PLACES = st.sampled_from(
    [
        ("seed",),
        ("job",),
        ("job", "duration"),
        ("job", "error_rate"),
        ("service",),
        ("service", "delay"),
        ("service", "faults"),
        ("service", "faults", 0),
        ("service", "faults", 0, "rate"),
        ("service", "capacity", "service_time"),
        ("service", "retry_after"),
    ]
)


@given(place=PLACES, value=YAML_VALUES)
def test_nothing_that_yaml_can_say_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[str | int, ...], value: object
) -> None:
    """Any value anywhere is either accepted or refused in our own words, with a line of the file."""
    data = yaml.safe_load(SOUND)
    target = data
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = value
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    lines = len(file.read_text(encoding="utf-8").splitlines())
    try:
        validate(read_document(file), Simulation)
    except DocumentError as error:
        for problem in error.diagnostics:
            assert 1 <= problem.line <= lines
            assert "something else" not in problem.message
            assert "Input" not in problem.message
            assert "valid" not in problem.message


@given(parts=st.lists(st.integers(0, 999), min_size=7, max_size=7), gap=st.sampled_from(["", " "]))
def test_a_duration_is_the_sum_of_its_parts(parts: list[int], gap: str) -> None:
    """Units follow one another from the longest to the shortest, with a blank between them or none."""
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
    text = gap.join(f"{number}{unit}" for number, unit in zip(parts, units, strict=True) if number)
    total = math.fsum(number * seconds for number, seconds in zip(parts, units.values(), strict=True))
    assert parse_seconds(text or "0s") == total


@pytest.mark.parametrize(
    ("written", "per_second"),
    [
        (5, 5),
        ("5/s", 5),
        ("10/min", 10 / 60),
        ("10 / m", 10 / 60),
        ("1000/h", 1000 / 3600),
        ("0.5/sec", 0.5),
        ("864/day", 0.01),
    ],
)
def test_a_rate_is_per_second(written: object, per_second: float) -> None:
    """Rates are numbers per second, or a number for each second, minute, hour or day."""
    assert parse_rate(written) == pytest.approx(per_second, rel=1e-15)


@given(text=st.text("0123456789.,:_-/ PTHMSdhmsxeE", max_size=12))
def test_any_text_is_a_spelling_or_has_a_remedy(text: str) -> None:
    """Whatever is written, the answer is a number or one sentence that says what to write, never a crash."""
    for parse in (parse_seconds, parse_rate, parse_number):
        said = _refusal(parse, text)
        assert said is None or ("not" in said and "\n" not in said)


def _refusal(parse: Callable[[str], float], text: str) -> str | None:
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None
