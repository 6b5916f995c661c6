"""Raw rows, their frames and their reduction."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measure_records import job

from client import Result
from harness.measure import (
    DETECTED,
    OUTCOMES,
    JobRow,
    PollRow,
    aggregate_polls,
    job_frame,
    poll_aggregates,
    response_name,
    sliding_peak,
)

# Quarters are exact in binary, so that a window's edge means the same to both counts.
times = st.lists(st.integers(0, 80).map(lambda n: n / 4), max_size=60)


@given(times)
def test_sliding_peak_is_the_fullest_window_anywhere(sent: list[float]) -> None:
    """No window of one second, wherever it starts, holds more events than the peak, and one holds as many."""
    starts = [n / 4 for n in range(-4, 85)]
    brute = max((sum(start <= t < start + 1 for t in sent) for start in starts), default=0)
    assert sliding_peak(sent) == brute


def test_sliding_peak_sees_across_whole_seconds() -> None:
    """A burst that straddles a full second counts as one; its end is outside the window."""
    assert sliding_peak([0.9, 0.95, 1.0, 1.1]) == 4
    assert sliding_peak([0.0, 1.0]) == 1
    assert sliding_peak([]) == 0


def test_aggregate_counts_by_second_and_response() -> None:
    """Polls become counts per second, responses and a weighted sample of reply times."""
    aggregate = aggregate_polls(
        "a", 0, [2.5, 0.1, 0.2], {"503": 1, "200": 2}, [0.02, 0.01, np.nan], planned_at_s=[2.5, 0.1, 0.1]
    )
    assert aggregate.per_second.tolist() == [2, 0, 1]
    assert (aggregate.total, aggregate.peak_per_second) == (3, 2)
    assert aggregate.responses == {"200": 2, "503": 1}
    assert (aggregate.latency_s.tolist(), aggregate.latency_count.tolist()) == ([0.01, 0.02], [1, 1])
    assert aggregate.lateness is not None
    assert aggregate.lateness.max_s == pytest.approx(0.1)


def test_aggregate_refuses_responses_that_do_not_add_up() -> None:
    """Every poll has exactly one response."""
    with pytest.raises(ValueError, match="add up to 1, but 2 polls"):
        aggregate_polls("a", 0, [0.0, 1.0], {"200": 1})


def test_rows_reduce_per_visit() -> None:
    """Poll rows become one aggregate per setting and repeat."""
    rows = [PollRow(name, repeat, 0, 1, 0.0, 0.5, None, "200") for name in "ab" for repeat in (0, 1)]
    assert [(each.setting, each.repeat, each.total) for each in poll_aggregates(rows)] == [
        ("a", 0, 1),
        ("a", 1, 1),
        ("b", 0, 1),
        ("b", 1, 1),
    ]


def test_job_frame_has_the_contract_columns_in_order() -> None:
    """The frame has the contract's fourteen columns, then ours; unknown numbers are null."""
    frame = job_frame([job(outcome="timeout")])
    assert ",".join(frame.columns) == (
        "setting,repeat,key,lane,planned_at_s,submitted_at_s,finished_at_s,detected_at_s,duration_s,outcome,"
        "polls,wasted_polls,detection_lag_s,completion_latency_s,sent_at_s"
    )
    assert frame["detection_lag_s"].to_list() == [None]
    assert frame["polls"].dtype == pl.Int64
    assert list(job_frame([]).columns) == list(JobRow._fields)


def test_outcomes_are_the_clients() -> None:
    """A job ends as its client says; what is learnt of is what the server told."""
    assert get_args(get_type_hints(Result)["outcome"]) == OUTCOMES
    assert DETECTED == ("completed", "error")


@pytest.mark.parametrize(("status_code", "name"), [(200, "200"), (503, "503"), (None, "transport_error")])
def test_a_response_is_its_status_code_or_none_at_all(status_code: int | None, name: str) -> None:
    """A poll that got no reply has a name of its own."""
    assert response_name(status_code) == name
