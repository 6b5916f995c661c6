"""Rows as columns: what goes in comes out, whichever way it went."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from live_parts import job_row, poll_row

from harness.live._columns import Columns
from harness.measure import JobRow, PollRow, job_frame

words = st.sampled_from(["quick", "slow", "503", "", "é"])
times = st.none() | st.floats(-1e6, 1e6)
polls = st.lists(
    st.builds(
        PollRow,
        words,
        st.integers(0, 9),
        st.integers(0, 2**62),
        st.integers(1, 99),
        st.floats(0, 1e6),
        st.floats(0, 1e6),
        times,
        words,
        words,
    ),
    max_size=20,
)


@given(polls, polls, polls)
def test_rows_come_out_as_they_went_in(one: list[PollRow], two: list[PollRow], three: list[PollRow]) -> None:
    """Appended one by one, added as rows, and added as columns with words of their own."""
    columns = Columns(PollRow, one)
    for row in two:
        columns.append(row)
    columns.extend(Columns(PollRow, three))
    columns.extend(one)
    assert list(columns) == [*one, *two, *three, *one]
    assert len(columns) == 2 * len(one) + len(two) + len(three)
    assert Columns.from_wire(PollRow, columns.to_wire()) == columns


def test_a_frame_of_columns_is_that_of_its_rows() -> None:
    """Null where unknown, and of the same types."""
    rows = [
        job_row(1),
        job_row(2)._replace(finished_at_s=None, outcome="censored"),
        job_row(3, setting="slow"),
    ]
    frame = job_frame(Columns(JobRow, rows).frame())
    assert frame.equals(job_frame(rows))
    assert frame.schema == job_frame(rows).schema
    assert job_frame(Columns(JobRow).frame()).equals(job_frame([]))


def test_a_poll_takes_54_bytes() -> None:
    """A million of them fit into the memory of a master, and travel as they are kept."""
    columns = Columns(PollRow, [poll_row(key) for key in range(5000)])
    wire = columns.to_wire()
    assert sum(map(len, wire["columns"].values())) == 54 * 5000
    assert set(wire["words"]) == {"quick", "200", ""}
