"""Exported settings, executed: the very delays of our own poller, in other people's loops."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from botocore.exceptions import WaiterError
from botocore.waiter import Waiter, WaiterModel
from export_parts import (
    DEMANDING,
    ENOUGH,
    LIMITED,
    SCRIPTS,
    Ran,
    Reply,
    World,
    poller_run,
    replace_time,
    replies,
    run_azure,
    seeded,
    settings_of_all_kinds,
)

from client import CURVES, JITTERS, PRESETS, Backoff, HintPolicy, PollingPolicy
from harness.export import FORMS, Origin, adapt, export_setting

ORIGIN = Origin("mine", "video", "Which?")
PYTHON_FORMS = sorted(name for name, form in FORMS.items() if form.language == "Python")
KINDS = [*settings_of_all_kinds(CURVES, JITTERS)]
CLOSE = partial(pytest.approx, rel=1e-9, abs=1e-9)


def text_of(policy: PollingPolicy, form: str, **options: Any) -> str:
    return export_setting(policy, form, ORIGIN, **options).text


def module_of(text: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "pasted"}
    exec(compile(text, "pasted.py", "exec", dont_inherit=True), namespace)  # noqa: S102 - our own text
    return namespace


def ended(namespace: dict[str, Any], poll: Callable[[], Any]) -> str:
    """How a polling function ended, in our outcomes."""
    try:
        return str(poll())
    except TimeoutError:
        return "timeout"
    except Exception as error:
        if type(error) in (namespace.get("GaveUp"), namespace.get("Pending")):
            return "gave_up"
        raise


def run_reader(namespace: dict[str, Any], world: World, retry_after: float | None) -> str:
    def read_status() -> Any:
        reply = world.poll()
        if reply.failed:
            raise namespace["ReadFailed"](retry_after=reply.retry_after, not_found=reply.not_found)
        return reply.state if reply.retry_after is None else (reply.state, reply.retry_after)

    hint = {} if retry_after is None else {"retry_after": retry_after}
    return ended(namespace, lambda: namespace["poll_until_done"](read_status, **hint))


def run_begin(namespace: dict[str, Any], world: World, _retry_after: float | None) -> str:
    def begin(*, polling: Any) -> Any:
        run_azure(polling, world)
        return SimpleNamespace(result=lambda: "completed")

    return str(namespace["poll_until_done"](begin))


class AnsweringPool(urllib3.HTTPConnectionPool):
    """A pool of urllib3 whose requests go nowhere."""

    world: World

    def _make_request(self, *_arguments: Any, **options: Any) -> Any:
        reply = self.world.poll()
        headers = {} if reply.retry_after is None else {"Retry-After": f"{reply.retry_after:g}"}
        return urllib3.HTTPResponse(
            b"", headers, 202 if reply.state == "pending" else 200, retries=options.get("retries")
        )


def run_pool(namespace: dict[str, Any], world: World, _retry_after: float | None) -> str:
    pool = AnsweringPool("service")
    pool.world = world
    reply = namespace["poll_until_done"]("/jobs/1", pool)
    return "completed" if reply.status == 200 else "gave_up"


DRIVERS = {"azure-core": run_begin, "urllib3": run_pool}


def run_python(
    policy: PollingPolicy,
    form: str,
    script: Iterator[Reply],
    source: random.Random,
    monkeypatch: pytest.MonkeyPatch,
    retry_after: float | None = None,
) -> Ran:
    world = World(script)
    with monkeypatch.context() as patched:
        replace_time(patched, world, source)
        namespace = module_of(text_of(policy, form))
        outcome = DRIVERS.get(form, run_reader)(namespace, world, retry_after)
    return Ran(world.times, outcome)


def expressed_by(form: str, policies: list[PollingPolicy]) -> list[PollingPolicy]:
    """Those of the settings, each as near as the form comes to it."""
    found = []
    for policy in policies:
        nearest, _ = adapt(policy, FORMS[form], 30.0)
        if nearest not in found:
            found.append(nearest)
    return found


@pytest.mark.parametrize("form", PYTHON_FORMS)
def test_a_python_form_polls_when_our_poller_does(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All kinds of settings that the form has, 200 delays each, with the same random numbers."""
    policies = expressed_by(form, KINDS)
    assert policies
    for seed, policy in enumerate(policies):
        expected = poller_run(policy, replies(ENOUGH + 1), seeded(seed))
        found = run_python(policy, form, replies(ENOUGH + 1), seeded(seed), monkeypatch)
        assert found.times == CLOSE(expected.times), policy
        assert found.outcome == "completed"


@pytest.mark.parametrize("form", [name for name in PYTHON_FORMS if FORMS[name].deadline == "exact"])
def test_deadline_and_limit_of_polls_end_where_ours_do(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last poll falls on the deadline's edge, and none is sent when the polls are used up."""
    for seed, policy in enumerate(expressed_by(form, LIMITED)):
        expected = poller_run(policy, replies(999), seeded(seed))
        found = run_python(policy, form, replies(999), seeded(seed), monkeypatch)
        assert found.times == CLOSE(expected.times), policy
        assert found.outcome == expected.outcome


def test_urllib3_hands_over_the_last_reply_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A limit of five polls is five requests, and the fifth reply still says 202."""
    policy = PollingPolicy(Backoff("constant", 2), max_attempts=5)
    found = run_python(policy, "urllib3", replies(999), seeded(1), monkeypatch)
    assert found == Ran([2, 4, 6, 8, 10], "gave_up")


def test_urllib3_waits_as_long_as_a_retry_after_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the place of the wait, as the text says; where hints are not honoured it is not read."""
    script = [Reply(retry_after=9), Reply(retry_after=1), Reply("completed")]
    policy = PollingPolicy(Backoff("constant", 2))
    found = run_python(policy, "urllib3", iter(script), seeded(1), monkeypatch)
    assert found.times == [2, 11, 12]
    policy = PollingPolicy(Backoff("constant", 2), hints=HintPolicy(honour=False))
    found = run_python(policy, "urllib3", iter(script), seeded(1), monkeypatch)
    assert found.times == [2, 4, 6]


def test_stamina_stops_after_the_first_poll_past_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its text says: no poll at the edge itself; a limit of polls counts as ours."""
    late = PollingPolicy(Backoff("constant", 3), deadline=10)
    found = run_python(late, "stamina", replies(99), seeded(1), monkeypatch)
    assert found == Ran([3, 6, 9, 12], "gave_up")
    few = PollingPolicy(Backoff("constant", 3), max_attempts=4, first_poll="immediately")
    found = run_python(few, "stamina", replies(99), seeded(1), monkeypatch)
    assert found == Ran([0, 3, 6, 9], "gave_up")
    assert "stops after the first poll past 10 s" in " ".join(export_setting(late, "stamina", ORIGIN).notes)


@pytest.mark.parametrize("retry_after", [None, 3.0, 30.0])
@pytest.mark.parametrize("name", SCRIPTS)
def test_plain_python_takes_hints_and_failed_reads_as_our_poller_does(
    name: str, retry_after: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every branch: hints on any reply, two budgets, the grace of a 404, the edge amid failures."""
    expected = poller_run(DEMANDING, iter(SCRIPTS[name]), seeded(5), retry_after)
    found = run_python(DEMANDING, "python", iter(SCRIPTS[name]), seeded(5), monkeypatch, retry_after)
    assert found.times == CLOSE(expected.times)
    assert found.outcome == expected.outcome


@pytest.mark.parametrize("form", ["tenacity", "backoff"])
@pytest.mark.parametrize("first_poll", ["after_delay", "immediately"])
def test_libraries_with_a_hook_take_hints_as_our_poller_does(
    form: str, first_poll: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer, never shorter, capped and spread; also that of the submission's reply."""
    policy = PollingPolicy(
        Backoff("constant", 2, jitter="equal"),
        hints=HintPolicy(maximum=20, spread=0.25),
        first_poll=first_poll,
    )
    for retry_after in (None, 4.0):
        expected = poller_run(policy, iter(SCRIPTS["hints"]), seeded(3), retry_after)
        found = run_python(policy, form, iter(SCRIPTS["hints"]), seeded(3), monkeypatch, retry_after)
        assert found.times == CLOSE(expected.times)
        assert found.outcome == "error"


@pytest.mark.parametrize("name", ["boto3-waiter-ec2", "boto3-waiter-s3", "resilience4j"])
def test_botocores_waiter_polls_when_our_poller_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real model and the real waiter, to the last poll that is allowed."""
    policy = PRESETS[name]
    model = WaiterModel(json.loads(text_of(policy, "botocore")))
    (waiter_name,) = model.waiter_names
    world = World(replies(9999))
    replace_time(monkeypatch, world, seeded(1))
    waiter = Waiter(waiter_name, model.get_waiter(waiter_name), lambda **_: {"status": world.poll().state})
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        waiter.wait()
    assert Ran(world.times, "gave_up") == poller_run(policy, replies(9999), seeded(1))


def test_botocores_waiter_knows_how_a_job_ends() -> None:
    """The words of the native dialect: completed ends well, error does not."""
    model = WaiterModel(json.loads(text_of(PRESETS["azure-core-lro"], "botocore", nearest=True)))
    for state, fails in (("completed", False), ("error", True)):
        waiter = Waiter("JobCompleted", model.get_waiter("JobCompleted"), lambda **_: {"status": state})  # noqa: B023
        if fails:
            with pytest.raises(WaiterError, match="terminal failure"):
                waiter.wait()
        else:
            waiter.wait()


NODE = """
import { readFileSync } from "node:fs";
const cases = JSON.parse(readFileSync(0, "utf8"));
const found = [];
for (const each of cases) {
  const address = `data:text/javascript,${encodeURIComponent(each.text)}`;
  const { pollUntilDone, ReadFailed, GaveUp } = await import(address);
  let now = 0, drawn = 0, polls = 0;
  const times = [];
  const read = () => {
    times.push(now);
    const reply = each.replies[Math.min(polls++, each.replies.length - 1)];
    if (reply.failed) throw new ReadFailed("", { retryAfter: reply.retry_after, notFound: reply.not_found });
    return reply.retry_after === null ? reply.state : { status: reply.state, retryAfter: reply.retry_after };
  };
  const world = { sleep: async (s) => { now += s; }, clock: () => now, uniform: () => each.draws[drawn++] };
  let outcome;
  try { outcome = await pollUntilDone(read, { ...world, retryAfter: each.retry_after }); }
  catch (error) {
    if (!(error instanceof GaveUp)) throw error;
    outcome = error.reason === "deadline" ? "timeout" : "gave_up";
  }
  found.push({ times, outcome });
}
console.log(JSON.stringify(found));
"""


class Listed(random.Random):
    """A source that gives these numbers, one by one."""

    def __init__(self, numbers: list[float]) -> None:
        super().__init__()
        self._numbers = iter(numbers)

    def random(self) -> float:
        return next(self._numbers)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_polls_when_our_poller_does(tmp_path: Path) -> None:
    """All kinds of settings, limits, hints and failed reads, in one process of node."""
    runs: list[tuple[PollingPolicy, list[Reply], float | None]] = [
        *((policy, [*replies(ENOUGH + 1)], None) for policy in KINDS),
        *((policy, [*replies(999)], None) for policy in LIMITED),
        *((DEMANDING, script, hint) for script in SCRIPTS.values() for hint in (None, 3.0)),
    ]
    source = seeded(4)
    draws = [source.random() for _ in range(1000)]
    cases = [
        {
            "text": text_of(policy, "javascript"),
            "replies": [vars(each) for each in script],
            "draws": draws,
            "retry_after": hint,
        }
        for policy, script, hint in runs
    ]
    driver = tmp_path / "driver.mjs"
    driver.write_text(NODE)
    ran = subprocess.run(
        ["node", driver], input=json.dumps(cases), capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    for (policy, script, hint), found in zip(runs, json.loads(ran.stdout), strict=True):
        expected = poller_run(policy, iter(script), Listed(draws), hint)
        assert found["times"] == CLOSE(expected.times), policy
        assert found["outcome"] == expected.outcome


BASH = """
source "$1"
draws=({draws}) replies=({replies}) NOW=0 SLEPT=0 TIMES=()
now() {{ printf '%s' "$NOW"; }}
uniform() {{ printf '%s' "${{draws[SLEPT]}}"; }}
sleep() {{
  NOW=$(calculate -v a="$NOW" -v b="$1" 'BEGIN {{ printf "%.9f", a + b }}')
  TIMES+=("$NOW")
  SLEPT=$((SLEPT + 1))
}}
read_status() {{
  local reply=${{replies[SLEPT - 1]}}
  printf '%s' "${{reply//,/ }}"
  case $reply in failed*|not_found*) return 3 ;; esac
}}
poll_until_done {hint} >out 2>err
echo "$? $(cat out)"
echo "${{TIMES[@]}}"
"""


def in_bash(policy: PollingPolicy, script: list[Reply], hint: float | None, folder: Path) -> Ran:
    source = seeded(4)
    draws = [0.0] * (policy.first_poll == "immediately") + [source.random() for _ in range(200)]
    words = []
    for reply in script:
        state = "not_found" if reply.not_found else "failed" if reply.failed else reply.state
        words.append(state if reply.retry_after is None else f"{state},{reply.retry_after:g}")
    (folder / "exported.sh").write_text(text_of(policy, "bash"))
    driver = BASH.format(
        draws=" ".join(map(repr, draws)), replies=" ".join(words), hint="" if hint is None else f"{hint:g}"
    )
    ran = subprocess.run(
        ["bash", "-u", "-c", driver, "driver", "exported.sh"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    ended_by, times = ran.stdout.splitlines()
    status, _, said = ended_by.partition(" ")
    outcome = {"0": said, "124": "timeout", "1": "gave_up"}[status]
    return Ran([float(each) for each in times.split()], outcome)


BASH_RUNS: dict[str, tuple[PollingPolicy, list[Reply], float | None]] = {
    **{f"demanding, {name}": (DEMANDING, script, 3.0) for name, script in SCRIPTS.items()},
    "decorrelated": (LIMITED[-1], [*replies(999)], None),
    "at once, full": (LIMITED[3], [*replies(999)], None),
    "few polls": (LIMITED[7], [*replies(99)], None),
    "tiers": (LIMITED[0], [*replies(99)], None),
    "tiers, at once": (LIMITED[1], [*replies(99)], None),
    "schedule": (LIMITED[8], [*replies(99)], None),
    "linear, above-first": (
        PollingPolicy(Backoff("linear", 1, maximum=7, jitter="above-first"), max_attempts=12),
        [*replies(99)],
        None,
    ),
    "fibonacci, second-more": (
        PollingPolicy(Backoff("fibonacci", 1, maximum=7, jitter="second-more"), max_attempts=12),
        [*replies(99)],
        None,
    ),
}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize("name", BASH_RUNS)
def test_bash_polls_when_our_poller_does(name: str, tmp_path: Path) -> None:
    """To a nanosecond a wait: what is handed to sleep has nine decimals."""
    policy, script, hint = BASH_RUNS[name]
    expected = poller_run(policy, iter(script), seeded(4), hint)
    found = in_bash(policy, script, hint, tmp_path)
    assert found.times == pytest.approx(expected.times, rel=0, abs=2e-9 * 3 ** len(expected.times) ** 0.5)
    assert found.outcome == expected.outcome


GO = """package polling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

type reply struct {
	State      string
	RetryAfter float64 `json:"retry_after"`
	Failed     bool
	NotFound   bool `json:"not_found"`
}

func TestRun(t *testing.T) {
	var script struct {
		Replies []reply
		Draws   []float64
		Hint    float64
	}
	text, _ := os.ReadFile("script.json")
	if err := json.Unmarshal(text, &script); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	at, drawn, times := begin, 0, []float64{}
	now = func() time.Time { return at }
	uniform = func() float64 { drawn++; return script.Draws[drawn-1] }
	sleep = func(_ context.Context, d time.Duration) error { at = at.Add(d); return nil }
	read := func(context.Context) (Status, error) {
		each := script.Replies[len(times)]
		times = append(times, at.Sub(begin).Seconds())
		hint := time.Duration(each.RetryAfter * float64(time.Second))
		if each.Failed {
			return Status{}, &ReadFailed{RetryAfter: hint, NotFound: each.NotFound}
		}
		return Status{each.State, hint}, nil
	}
	outcome, err := PollUntilDone(context.Background(), read, time.Duration(script.Hint*float64(time.Second)))
	switch {
	case errors.Is(err, ErrDeadline):
		outcome = "timeout"
	case errors.Is(err, ErrGaveUp):
		outcome = "gave_up"
	case err != nil:
		t.Fatal(err)
	}
	said, _ := json.Marshal(map[string]any{"times": times, "outcome": outcome})
	fmt.Printf("ran %s\\n", said)
}
"""


@pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")
def test_go_polls_when_our_poller_does(tmp_path: Path) -> None:
    """Settings of every kind of code that the text can hold; its durations are whole nanoseconds."""
    (tmp_path / "go.mod").write_text("module exported\n\ngo 1.19\n")
    for number, (policy, script, hint) in enumerate(BASH_RUNS.values()):
        folder = tmp_path / f"run{number:02}"
        folder.mkdir()
        (folder / "polling.go").write_text(text_of(policy, "go"))
        (folder / "polling_test.go").write_text(GO)
        source = seeded(4)
        draws = [source.random() for _ in range(200)]
        data = {"replies": [vars(each) for each in script], "draws": draws, "hint": hint or 0}
        (folder / "script.json").write_text(json.dumps(data))
    ran = subprocess.run(
        ["go", "test", "-v", "-p", "1", "./..."], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = [json.loads(line) for line in re.findall(r"^ran (.*)$", ran.stdout, re.MULTILINE)]
    for (policy, script, hint), result in zip(BASH_RUNS.values(), found, strict=True):
        expected = poller_run(policy, iter(script), seeded(4), hint)
        assert result["times"] == pytest.approx(expected.times, rel=1e-9, abs=1e-7), policy
        assert result["outcome"] == expected.outcome
