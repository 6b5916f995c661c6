"""Cadences as scenario files write them: tiers, repetition, anchors, and pieces that settings share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from client import Backoff, ErrorPolicy, PollingPolicy
from scenarios import Scenario, load_scenario, setting_yaml
from scenarios.documents import DocumentError

LEAST = """\
name: least
job: {duration: 1s}
workload: {lanes: 1, arrivals: {type: constant, rate: 1}, jobs: 1}
"""


def loaded(folder: Path, text: str) -> Scenario:
    """The scenario that this text and the least that is needed make."""
    path = folder / "cadence.yaml"
    path.write_text(LEAST + text)
    return load_scenario(path)


def faults(folder: Path, text: str) -> list[str]:
    """Why it is refused, by lines that count from the text's first."""
    with pytest.raises(DocumentError) as refusal:
        loaded(folder, text)
    shown = (str(each).removeprefix(f"{folder / 'cadence.yaml'}:") for each in refusal.value.diagnostics)
    return [f"{int(line) - 3}:{rest}" for line, rest in (each.split(":", 1) for each in shown)]


def delays(folder: Path, written: str) -> Backoff:
    """The law of a setting whose delays are written like this."""
    return (
        loaded(folder, f"settings: {{only: {{curve: schedule, delays: {written}}}}}").settings["only"].cadence
    )


TIERS = Backoff("schedule", delays=[5, 15, 30], until=[120, 600])


@pytest.mark.parametrize(
    ("written", "law"),
    [
        ("[5s until 2m, 15s until 10m, then 30s]", TIERS),
        ('"5s until 2m, 15s until 10m, then 30s"', TIERS),
        ('"5 until 120,15 until 600,30"', TIERS),
        ("[PT5S until PT2M, 15s until 600s, 30]", TIERS),
        ("[1s, 2*2s, 5s until 1m 30s, 10s]", Backoff("schedule", delays=[1, 2, 2, 5, 10], until=[90])),
        ("[24*5s, 30s]", Backoff("schedule", delays=[5] * 24 + [30])),
        ("[24 * 5s, then 30s]", Backoff("schedule", delays=[5] * 24 + [30])),
        ('"3*0, 1"', Backoff("schedule", delays=[0, 0, 0, 1])),
        ("[6*500ms]", Backoff("schedule", delays=[0.5] * 6)),
        ("[then 5s]", Backoff("schedule", delays=[5])),
        ("[1s, 2.5, 4s]", Backoff("schedule", delays=[1, 2.5, 4])),
    ],
)
def test_delays_are_written_as_people_say_them(tmp_path: Path, written: str, law: Backoff) -> None:
    """A list or a line of text; each item once, so many times, or until a time."""
    assert delays(tmp_path, written) == law


@pytest.mark.parametrize(
    ("written", "at", "remedy"),
    [
        ("[5s until 2m]", 0, "'5s until 2m' cannot be used: it leaves open what comes after that"),
        ("[then 1s, 2s]", 0, "'then 1s' cannot be used: only the last delay may say then"),
        ("[0*2s, 2s]", 0, "'0*2s' cannot be used: 0 times is never; remove it"),
        ("[0s until 1m, 2s]", 0, "'0s until 1m' cannot be used: without a pause"),
        ("[1s until 1m, 2s until 1m, 2s]", 1, "'2s until 1m' cannot be used: that time has passed"),
        ("[1s until 0s, 2s]", 0, "'1s until 0s' cannot be used: that time has passed"),
        ("[1s until 1m, 3*2s, 2s]", 1, "'3*2s' cannot be used: delays cannot be counted after one that ends"),
        ("[1s until 1m, 3*2s]", 1, "'3*2s' cannot be used: delays cannot be counted after one that ends"),
        ("[3*1s until 1m, 2s]", 0, "'3*1s until 1m' says how often and until when; write one of the two"),
        ("[1s, 5s*24, 2s]", 1, "'5s*24' is not a delay; write 24*5s"),
        ("[1s, 24x5s, 2s]", 1, "'24x5s' is not a delay; write 24*5s"),
        ("[10001*1s]", 0, "'10001*1s' cannot be used: that is more than 10,000 delays; write until when"),
        ("[999999999999999999999*1s]", 0, "'999999999999999999999*1s' cannot be used: that is more than"),
        ("[5 min until 1h, 2s]", 0, "'5 min' is not a duration; write 5m"),
        ("[5m until soon, 2s]", 0, "'soon' is not a duration; write"),
        ("[1s, {2s: 3}]", 1, "must be a duration, not a mapping"),
    ],
)
def test_delays_that_make_no_schedule_are_refused_at_their_item(
    tmp_path: Path, written: str, at: int, remedy: str
) -> None:
    """The fault names the line and the item, and says what to write."""
    (fault,) = faults(tmp_path, f"settings:\n  only: {{curve: schedule, delays: {written}}}\n")
    assert fault.startswith(f"2: settings.only.delays[{at}]: {remedy}")


def test_all_items_at_fault_are_told_at_once(tmp_path: Path) -> None:
    """Not the first alone; each at its own line."""
    items = "".join(f"      - {item}\n" for item in ("then 1s", "0*2s", "5s until 2m"))
    text = f"settings:\n  only:\n    curve: schedule\n    delays:\n{items}"
    assert [fault.partition(" cannot")[0] for fault in faults(tmp_path, text)] == [
        "5: settings.only.delays[0]: 'then 1s'",
        "6: settings.only.delays[1]: '0*2s'",
        "7: settings.only.delays[2]: '5s until 2m'",
    ]


def test_delays_cut_off_by_their_commas_are_told_apart_from_unknown_keys(tmp_path: Path) -> None:
    """In a flow mapping a comma ends the value; what follows is no misspelled key."""
    text = "settings:\n  only: {curve: schedule, delays: 5s until 2m, 15s until 10m, then 30s}\n"
    remedy = "is one of the delays, cut off by its comma; put all delays in brackets"
    assert faults(tmp_path, text) == [
        f"2: settings.only.15s until 10m: {remedy}",
        f"2: settings.only.then 30s: {remedy}",
    ]


def test_retries_are_counted_and_not_timed(tmp_path: Path) -> None:
    """Repetition is for on_error, too; a tier is not."""
    text = "settings: {only: {curve: constant, initial: 1s, on_error: {curve: schedule, delays: [3*1s, 9s]}}}"
    errors = ErrorPolicy(Backoff("schedule", delays=[1, 1, 1, 9]))
    assert loaded(tmp_path, text).settings["only"].errors == errors
    (fault,) = faults(tmp_path, text.replace("3*1s", "1s until 3s"))
    assert fault.startswith("1: settings.only.on_error.delays[0]: '1s until 3s' cannot be used: retries are")


SECONDS = st.sampled_from([0.001, 0.0125, 0.5, 1.0, 5.0, 90.0, 3600.0]) | st.floats(1e-6, 3e7)


@given(
    once=st.lists(st.just(0.0) | SECONDS, max_size=6),
    tiers=st.lists(st.tuples(SECONDS, SECONDS), max_size=4, unique_by=lambda tier: tier[1]),
    last=SECONDS,
    repeated=st.integers(0, 30),
)
@example(once=[0.5, 5.0], tiers=[], last=0.001, repeated=1)
def test_a_schedule_that_is_written_out_reads_back_as_it_is(
    tmp_path_factory: pytest.TempPathFactory,
    once: list[float],
    tiers: list[tuple[float, float]],
    last: float,
    repeated: int,
) -> None:
    """Whatever the numbers, to the last bit; long runs and tiers in few words."""
    tiers.sort(key=lambda tier: tier[1])
    law = Backoff(
        "schedule",
        delays=[*once, *[5.0] * repeated, *(delay for delay, _ in tiers), last],
        until=[until for _, until in tiers],
    )
    line = setting_yaml("only", PollingPolicy(law))
    scenario = loaded(tmp_path_factory.getbasetemp(), f"settings: {{{line}}}")
    assert scenario.settings["only"].cadence == law
    assert re.search(r"[\[ ]5s, 5s, 5s[,\]]", line) is None


def test_a_recommended_schedule_is_written_as_people_write_it() -> None:
    """Runs and tiers read as they were meant."""
    law = Backoff("schedule", delays=[1, *[5] * 24, 15, 30], until=[600])
    policy = PollingPolicy(law, anchor="start", missed="catch_up", restart_on="progress")
    assert setting_yaml("it", policy) == (
        "it: {curve: schedule, delays: [1s, 24*5s, 15s until 600s, 30s], "
        "anchor: start, missed: catch_up, restart_on: progress}"
    )


@pytest.mark.parametrize("anchor", ["reply", "start", "clock"])
def test_an_anchor_is_a_word(tmp_path: Path, anchor: str) -> None:
    """The keys are the policy's own fields."""
    text = f"settings: {{only: {{curve: constant, initial: 10s, anchor: {anchor}}}}}"
    assert loaded(tmp_path, text).settings["only"] == PollingPolicy(Backoff("constant", 10), anchor=anchor)


def test_anchors_that_cannot_be_are_refused(tmp_path: Path) -> None:
    """Misspelled, without beats to miss, with jitter that has no beats: each at its key."""
    text = """\
settings:
  a: {curve: constant, initial: 1s, anchor: strat}
  b: {curve: constant, initial: 1s, missed: catch_up}
  c: {curve: exponential, initial: 1s, jitter: decorrelated, anchor: clock}
  d: {curve: constant, initial: 1s, restart_on: status}
"""
    assert [fault.partition(";")[0] for fault in faults(tmp_path, text)] == [
        "2: settings.a.anchor: 'strat' is unknown",
        "3: settings.b.missed: 'catch_up' cannot be used: anchor='reply' has no beats to miss",
        "4: settings.c.anchor: 'clock' cannot be used: decorrelated jitter has no beats",
        "5: settings.d.restart_on: must be progress",
    ]


# Pieces that settings share


SHARED: Any = """\
x-usual: &usual {curve: constant, deadline: 60s}
x-unused: [anything, {goes: here}]
anchors:
  tiers: &tiers [5s until 2m, then 30s]
settings:
  quick: {<<: *usual, initial: 1s}
  patient: {<<: *usual, initial: 5s, deadline: 90s}
  tiered: {curve: schedule, delays: *tiers}
"""


def test_settings_share_pieces(tmp_path: Path) -> None:
    """Keys in x- and the key ``anchors`` hold them; a setting's own keys win over merged ones."""
    settings = loaded(tmp_path, SHARED).settings
    assert settings == {
        "quick": PollingPolicy(Backoff("constant", 1), deadline=60),
        "patient": PollingPolicy(Backoff("constant", 5), deadline=90),
        "tiered": PollingPolicy(Backoff("schedule", delays=[5, 30], until=[120])),
    }


def test_a_fault_in_a_shared_piece_is_told_at_its_line(tmp_path: Path) -> None:
    """The line to change is the piece's, the path that of each setting which uses it."""
    bad = SHARED.replace("deadline: 60s}", "deadlin: 60s}").replace("5s until 2m", "5 min")
    assert [fault.partition(";")[0] for fault in faults(tmp_path, bad)] == [
        "1: settings.patient.deadlin: unknown key",
        "1: settings.quick.deadlin: unknown key",
        "4: settings.tiered.delays[0]: '5 min' is not a duration",
    ]


def test_a_duplicate_key_in_a_shared_piece_is_found(tmp_path: Path) -> None:
    """Where it stands and where it is merged."""
    bad = SHARED.replace("deadline: 60s}", "deadline: 60s, deadline: 1s}")
    assert "1: x-usual.deadline: duplicate key, first given on line 4; keep one" in faults(tmp_path, bad)


def test_only_the_top_has_room_for_own_keys(tmp_path: Path) -> None:
    """Elsewhere a key in x- is as unknown as any other, and so is a top key that is none."""
    text = "settings: {only: {curve: constant, initial: 1s, x-mine: 1}}\nxmine: 1\n"
    assert [fault.partition(";")[0] for fault in faults(tmp_path, text)] == [
        "1: settings.only.x-mine: unknown key",
        "2: xmine: unknown key",
    ]
