"""The conductor between Locust and the schedule, with stand-ins for Locust, the lanes and the target."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from live_parts import job_row, rows, share_done
from virtual_scenarios import every, scenario

from harness._refusal import FAILED, INTERRUPTED
from harness.live import _conductor
from harness.live._conductor import Conductor
from harness.live._messages import AbortVisit, CheckScenario, Rows, ScenarioChecked, ShareDone, StartVisit
from harness.live._processes import forgive_forgotten
from harness.live._sweep import Sweep, SweepNow
from harness.measure import ServerCounts

QUICK, SLOW = type("quick", (), {}), type("slow", (), {})
COUNTS = ServerCounts(submissions=1, polls=1)


class FakeTarget:
    """A target that counts, until it dies."""

    url = "http://target"

    def __init__(self) -> None:
        self.resets: list[float] = []
        self.died: str | None = None
        self.dies_on_reset = False
        self.told_ago_s = 0.0

    def reset(self, lead_s: float) -> float:
        self.resets.append(lead_s)
        if self.dies_on_reset:
            self.died = "the simulator stopped"
        return self.told_ago_s

    def sample(self) -> None:
        pass

    def counters(self) -> ServerCounts | None:
        return COUNTS

    def death(self) -> str | None:
        return self.died

    def close(self) -> None:
        pass


class Stage:
    """Locust's runner, its processes and the passing of time, in one stand-in.

    Each time the conductor sleeps, ``meanwhile`` happens; without one, every share is done at once.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, headless: bool = True, workers: bool = False
    ) -> None:
        self.accepted = () if workers else ("local",)
        self.wanted = 1
        self.present = {"worker" if workers else "local": 0}
        self.listeners: dict[str, Callable[..., None]] = {}
        self.sent: list[tuple[str | None, Any]] = []
        self.looks: list[SweepNow] = []
        self.also: list[SweepNow] = []
        self.now = 0.0
        self.meanwhile: Callable[[], None] = self.finish_shares
        self.target = FakeTarget()
        self.environment = SimpleNamespace(
            parsed_options=SimpleNamespace(headless=headless),
            process_exit_code=None,
            user_classes=[QUICK, SLOW],
            user_classes_by_name={"quick": QUICK, "slow": SLOW},
        )
        monkeypatch.setattr(_conductor, "gevent", SimpleNamespace(sleep=self.sleep))
        monkeypatch.setattr(_conductor, "time", SimpleNamespace(monotonic=lambda: self.now))
        environment: Any = self.environment
        processes: Any = self
        self.scenario = scenario({"quick": every(1), "slow": every(5)})
        self.conductor = Conductor(
            environment,
            self,
            self.scenario,
            processes,
            Sweep(self.scenario),
            [
                lambda sweep, now: self.looks.append(sweep.look(now)),
                lambda sweep, now: self.also.append(sweep.look(now)),
            ],
        )
        self.conductor.target = self.target

    # What the conductor needs of Locust

    def register_message(self, msg_type: str, listener: Any, concurrent: bool = False) -> None:
        assert not concurrent
        self.listeners[msg_type] = listener

    def send_message(self, msg_type: str, data: Any = None, client_id: str | None = None) -> None:
        kinds = {kind.name: kind for kind in (CheckScenario, StartVisit, AbortVisit)}
        self.sent.append((client_id, kinds[msg_type].from_wire(data)))

    def lanes(self) -> dict[str, int]:
        return dict(self.present)

    def forget(self, node: str) -> None:
        del self.present[node]

    # What a test does

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()

    def hear(self, name: str, data: Any, node: str = "local") -> None:
        self.listeners[name](environment=None, msg=SimpleNamespace(data=data, node_id=node))

    def finish_shares(self) -> None:
        for node, message in self.sent:
            if isinstance(message, StartVisit):
                self.hear(ShareDone.name, share_done(message.visit).to_wire(), node or "")

    def tick(self) -> Any:
        """What Locust does in its loop: ask for the next users, and have them."""
        answer = self.conductor.tick()
        if answer is not None:
            (node, *_) = self.present
            self.present[node] = answer[0]
        return answer

    def kinds(self) -> list[type]:
        return [type(message) for _, message in self.sent]


def test_locust_is_told_of_every_setting_through_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The users of each setting, nobody, and None at last; the record is handed out once."""
    stage = Stage(monkeypatch)
    ticks = [stage.tick() for _ in range(5)]
    assert ticks == [(3, 3.0, [QUICK]), (0, 3.0, [QUICK]), (3, 3.0, [SLOW]), (0, 3.0, [SLOW]), None]
    common: dict[str, Any] = {"host": "http://target", "starts_in": 0.3}
    assert stage.sent == [
        ("local", StartVisit(visit=number, setting=setting, repeat=0, lanes=[0, 1, 2], **common))
        for number, setting in enumerate(["quick", "slow"], start=1)
    ]
    assert stage.target.resets == [0.3, 0.3]
    stage.conductor.stopping()
    record = stage.conductor.take_record()
    assert record is not None
    assert [visit.server for visit in record.visits] == [COUNTS, COUNTS]
    assert (record.incomplete, stage.environment.process_exit_code) == (None, None)
    assert stage.conductor.take_record() is None


def test_clients_and_target_have_one_time_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes between the target's being told and the start of the clients is not added to the lead."""
    stage = Stage(monkeypatch)
    stage.target.told_ago_s = 0.06
    stage.tick()
    stage.tick()
    ((_, start),) = [each for each in stage.sent if isinstance(each[1], StartVisit)]
    assert start.starts_in == pytest.approx(0.24)


def test_only_the_chosen_settings_are_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locust's command line, or the picker of its web page, may have left out some."""
    stage = Stage(monkeypatch)
    stage.environment.user_classes = [SLOW]
    assert [stage.tick() for _ in range(3)] == [(3, 3.0, [SLOW]), (0, 3.0, [SLOW]), None]


def test_every_observer_is_shown_the_sweep_at_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first visit, while one is under way and between two."""
    stage = Stage(monkeypatch)
    for _ in range(3):
        stage.tick()
    assert stage.looks == stage.also
    states = [tuple(each.state.value for each in at.visits) for at in stage.looks]
    assert list(dict.fromkeys(states)) == [
        ("waiting", "waiting"),
        ("running", "waiting"),
        ("ended", "waiting"),
    ]


def test_a_message_that_cannot_be_used_ends_the_visit_with_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who sent what and what is wrong with it; the rows so far are kept, status 1."""
    stage = Stage(monkeypatch)

    def meanwhile() -> None:
        if StartVisit in stage.kinds():
            stage.hear(Rows.name, rows(1, job_row(), submitted=1).to_wire())
            stage.hear(Rows.name, {"visit": 1, "jobs": []})

    stage.meanwhile = meanwhile
    stage.tick()
    assert stage.tick() is None
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "process local sent a message that cannot be used: backoff_rows: submitted: Field required"
    )
    assert stage.environment.process_exit_code == FAILED
    stage.meanwhile = stage.finish_shares
    stage.conductor.stopping()
    assert stage.kinds()[-1] is AbortVisit
    record = stage.conductor.take_record()
    assert record is not None
    assert (len(record.jobs), record.incomplete) == (1, line)
    assert [visit.complete for visit in record.visits] == [False]


@pytest.mark.parametrize("on_reset", [False, True])
def test_a_target_that_dies_ends_the_run(monkeypatch: pytest.MonkeyPatch, on_reset: bool) -> None:
    """In the middle of a visit, which is then incomplete, or before it has begun."""
    stage = Stage(monkeypatch)
    stage.target.dies_on_reset = on_reset
    stage.tick()
    if not on_reset:
        stage.meanwhile = lambda: setattr(stage.target, "died", "the simulator stopped")
    assert stage.tick() is None
    stage.meanwhile = stage.finish_shares
    stage.conductor.stopping()
    record = stage.conductor.take_record()
    assert record is not None
    assert (record.incomplete, stage.environment.process_exit_code) == ("the simulator stopped", FAILED)
    assert len(record.visits) == (0 if on_reset else 1)


def test_locust_that_stops_for_want_of_workers_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may see that the last one is gone before we do: the run is incomplete for that, and has failed."""
    stage = Stage(monkeypatch)
    stage.tick()

    class Stopped(BaseException):
        pass

    def meanwhile() -> None:
        if StartVisit in stage.kinds():
            stage.present = {}
            stage.conductor.stopping()
            raise Stopped

    stage.meanwhile = meanwhile
    with pytest.raises(Stopped):
        stage.tick()
    record = stage.conductor.take_record()
    assert record is not None
    assert (record.incomplete, stage.environment.process_exit_code) == (
        "1 of 1 workers lost during quick",
        FAILED,
    )


@pytest.mark.parametrize("name", ["reset", "counters", "death"])
def test_a_fault_of_ours_ends_the_run_and_keeps_what_there_is(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Wherever it is: Locust is told of the end, and nobody waits for ever."""
    stage = Stage(monkeypatch)
    stage.tick()

    def fail(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(stage.target, name, fail)
    assert stage.tick() is None
    stage.conductor.stopping()
    record = stage.conductor.take_record()
    assert record is not None
    assert record.incomplete == "the harness failed: RuntimeError('a bug')"
    assert stage.environment.process_exit_code == FAILED


@pytest.mark.parametrize(("headless", "status"), [(True, INTERRUPTED), (False, None)])
def test_stopping_a_visit_calls_its_processes_in(
    monkeypatch: pytest.MonkeyPatch, headless: bool, status: int | None
) -> None:
    """The status is that of an interrupt; the web page's Locust goes on and has none."""
    stage = Stage(monkeypatch, headless=headless)
    stopped: list[bool] = []

    class ShapeKilled(BaseException):
        pass

    def meanwhile() -> None:
        if not stopped and StartVisit in stage.kinds():
            stopped.append(True)
            stage.meanwhile = stage.finish_shares
            stage.conductor.stopping()  # from a greenlet of its own
            raise ShapeKilled

    stage.meanwhile = meanwhile
    stage.tick()
    with pytest.raises(ShapeKilled):
        stage.tick()
    assert stage.kinds() == [StartVisit, AbortVisit]
    record = stage.conductor.take_record()
    assert record is not None
    assert record.incomplete == "stopped before the end"
    assert [visit.complete for visit in record.visits] == [False]
    assert stage.environment.process_exit_code == status


def test_a_worker_of_another_scenario_is_forgotten_and_one_of_ours_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked by name and fingerprint; a run waits for those that agree."""
    stage = Stage(monkeypatch, workers=True)

    def meanwhile() -> None:
        if "worker" in stage.present and CheckScenario in stage.kinds():
            stage.hear(ScenarioChecked.name, {"accepted": False, "reason": "it is another"}, "worker")
            stage.present["friend"] = 0
            stage.hear(ScenarioChecked.name, {"accepted": True, "reason": ""}, "friend")

    stage.meanwhile = meanwhile
    assert stage.tick() == (3, 3.0, [QUICK])
    assert stage.present == {"friend": 3}
    question = CheckScenario(scenario="made-up", sha256=stage.scenario.sha256)
    assert stage.sent == [("worker", question)]
    assert caplog.messages == ["worker worker refused: it is another"]


def test_a_run_without_workers_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locust tells nobody of the end of a run that never had users: the next one starts afresh."""
    stage = Stage(monkeypatch, workers=True)
    stage.meanwhile = lambda: None
    stage.present = {}
    assert stage.tick() is None
    assert stage.now >= 30.0
    assert stage.environment.process_exit_code == FAILED
    assert stage.conductor.take_record() is None


def test_a_child_that_was_forgotten_is_taken_for_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locust asks for its workers' statuses until it has them; who waits for a child that is there waits."""
    monkeypatch.setattr(os, "waitpid", os.waitpid)  # put back afterwards
    forgive_forgotten()
    child = os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", "raise SystemExit(3)"], os.environ)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert os.waitpid(child, os.WNOHANG) == (child, 0)
