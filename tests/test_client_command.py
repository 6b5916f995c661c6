"""`python -m client`: options, lines, JSON and exit codes, with the network and the clock replaced."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_client_blocking import BUSY, COMPLETED, ERROR, PENDING, Clock, Reply, Session, refused

from client import PRESETS, Backoff
from client import __main__ as command
from client._command import parse
from client._durations import parse_duration
from client.blocking import VideoTranslationClient
from scenarios.documents import parse_seconds

ROOT = Path(__file__).resolve().parent.parent
STEADY = ["--curve", "constant", "--initial", "1", "--jitter", "none"]
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command against a script of replies."""

    def runner(*argv: str, script: list[Reply | Exception]) -> int:
        clock = Clock()
        replaced: dict[str, Any] = {
            "session": Session(clock, *script, latency=0.25),
            "clock": clock,
            "sleep": clock.sleep,
        }
        monkeypatch.setattr(
            command, "VideoTranslationClient", functools.partial(VideoTranslationClient, **replaced)
        )
        return command.main(argv)

    return runner


def test_it_prints_each_attempt_and_the_final_status(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Number, time since the start, status or failure, next wait; then the outcome; exit code 0."""
    assert (
        run(
            *STEADY, "--job", "j", script=[PENDING, Reply(503, {"title": "Busy"}, Retry_After="2"), COMPLETED]
        )
        == 0
    )
    first, *attempts, last = capsys.readouterr().out.splitlines()
    assert first.startswith("polling job j at http://127.0.0.1:5000; constant: every 1 s, no jitter")
    assert attempts[0] == "poll 1 at 1.00 s: pending; next in 1.00 s"
    assert attempts[1].startswith("poll 2 at 2.25 s: http 503 (Busy), retry after 2 s; next in ")
    assert attempts[2].endswith(": completed")
    assert last.startswith("completed (3 polls in ")
    assert last.endswith(" 1 pending, 1 failed; the job had ended 0.25 s before)")


@pytest.mark.parametrize(
    ("argv", "script", "code", "outcome"),
    [
        ([], [COMPLETED], 0, "completed"),
        ([], [ERROR], 1, "error"),
        (["--deadline", "1"], [PENDING], 3, "timeout: the deadline of 1 s passed"),
        (["--max-attempts", "1"], [PENDING], 4, "gave_up: 1 poll answered 'pending'"),
        ([], [Reply(404, {"detail": "no such job"})] * 9, 4, "gave_up: "),
        ([], [BUSY] * 9, 4, "gave_up: 5 failed reads in a row"),
    ],
)
def test_the_exit_code_tells_the_outcome(
    run: Run,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    script: list[Reply | Exception],
    code: int,
    outcome: str,
) -> None:
    """0 completed, 1 the job's error, 3 time, 4 a budget; the last line begins with the outcome."""
    assert run(*STEADY, *argv, script=script) == code
    assert capsys.readouterr().out.splitlines()[-1].startswith(outcome)


def test_submit_submits_and_polls_that_job(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """--submit --key N posts the key; the polling time starts at the reply."""
    script = [Reply(202, {"id": "new"}), COMPLETED]
    assert run(*STEADY, "--submit", "--key", "3", "--json", script=script) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["job_id"], report["polls"][0]["sent_at_s"]) == ("new", 1.0)


def test_the_submissions_hint_delays_the_first_poll(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Retry-After on the 202 is heard."""
    assert (
        run(*STEADY, "--submit", "--json", script=[Reply(202, {"id": "n"}, Retry_After="3"), COMPLETED]) == 0
    )
    assert json.loads(capsys.readouterr().out)["polls"][0]["planned_at_s"] >= 3.0


def test_a_hint_by_another_name_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """In the attempt's line and in the JSON."""
    pending = Reply(200, {"status": "pending"}, retry_after_ms="2500")
    assert run(*STEADY, script=[pending, COMPLETED]) == 0
    assert "pending, retry after 2.5 s (retry-after-ms); next in " in capsys.readouterr().out
    assert run(*STEADY, "--json", script=[pending, COMPLETED]) == 0
    assert json.loads(capsys.readouterr().out)["polls"][0]["hint"] == "retry-after-ms"


def test_json_is_one_object_and_nothing_else(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints the result and its polls, in seconds since the start, and no lines."""
    assert run(*STEADY, "--json", script=[PENDING, BUSY, COMPLETED]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["outcome"], report["attempts"], report["wasted"], report["failures"]) == (
        "completed",
        3,
        1,
        1,
    )
    assert [poll["status_code"] for poll in report["polls"]] == [200, 503, 200]
    assert report["polls"][1]["sent_at_s"] == 2.25
    assert report["elapsed_s"] >= 2.75
    assert report["finished_ago_s"] == 0.25


def test_an_unreachable_server_is_named_with_the_remedy(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The first refused connection says how to start the simulator, once; in the end it is exit code 4."""
    assert run(*STEADY, script=[refused()] * 5) == 4
    captured = capsys.readouterr()
    assert captured.err.count("Start it with: python -m server") == 1
    assert "nothing answers at http://127.0.0.1:5000" in captured.err
    assert "Connection refused" in captured.out


def test_the_simulator_is_not_suggested_to_who_asks_for_another_service(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A dialect of one's own means a service of one's own: why it is silent we do not know."""
    file = tmp_path / "mine.yaml"
    file.write_text("{submit: {path: /tasks}, status: {path: '/tasks/{id}', state: state}}")
    assert run(*STEADY, "--dialect", str(file), "--job", "1", script=[refused()] * 5) == 4
    assert "python -m server" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reply", "remedy"), [(refused(), True), (Reply(503, {"detail": "come back"}), False)]
)
def test_a_submission_that_fails_is_told_without_a_traceback(
    run: Run, capsys: pytest.CaptureFixture[str], reply: Reply | Exception, remedy: bool
) -> None:
    """Exit code 4 with the server's words, and the remedy only when nobody answered."""
    assert run("--submit", script=[reply]) == 4
    error = capsys.readouterr().err
    assert "the job was not accepted" in error
    assert ("python -m server" in error) is remedy


def test_ctrl_c_ends_with_one_line_and_130(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback for a user who has waited long enough."""

    def interrupt(_clock: Clock, _seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Clock, "sleep", interrupt)
    assert run(*STEADY, script=[]) == 130
    assert capsys.readouterr().err == "python -m client: interrupted\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--url", "localhost:5000"], "base_url='localhost:5000' cannot be used"),
        (["--url", "http://exa mple"], "base_url='http://exa mple' cannot be used"),
        (["--initial", "-1"], "initial=-1.0 cannot be used"),
        (["--deadline", "0"], "deadline=0.0 cannot be used"),
        (["--max-attempts", "0"], "max_attempts=0 cannot be used"),
        (["--curve", "constant", "--multiplier", "3"], "the constant curve ignores it"),
        (["--curve", "schedule"], "give at least one delay"),
        (["--curve", "schedule", "--delays", "1", "--until", "9"], "the last delay never ends"),
        (["--anchor", "start", "--jitter", "decorrelated"], "decorrelated jitter has no beats"),
        (["--missed", "catch_up"], "anchor='reply' has no beats to miss"),
        (["--preset", "google-api-core-lro", "--restart-on", "progress"], "--restart-on cannot be used"),
        (["--curve", "schedule", "--delays", "1,two"], "'1,two' cannot be used"),
        (["--deadline", "5 seconds"], "argument --deadline: '5 seconds' is not a duration: give seconds, or"),
        (["--max-failures", "-1"], "max_consecutive=-1 cannot be used"),
        (["--request-timeout", "0ms"], "request_timeout=0.0 cannot be used"),
        (["--preset", "google-api-core-lro", "--first-poll", "immediately"], "--first-poll cannot be used"),
        (["--preset", "nobody"], "invalid choice: 'nobody'"),
        (["--key", "3"], "--key goes with --submit"),
        (["--job", "j", "more\x1b[2Jof\u202eit"], "arguments: more\\x1b[2Jof\\u202eit"),
        (["--jo\x1b[2J", "j"], "arguments: --jo\\x1b[2J j"),
        (["--job", "j", "--submit"], "not allowed with"),
        (["--deadline", "3", "--no-deadline"], "not allowed with"),
    ],
)
def test_bad_usage_is_exit_code_2_with_the_reason(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    """Options that make no sense are refused before anything is sent."""
    with pytest.raises(SystemExit) as refusal:
        command.main(argv)
    assert refusal.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.endswith("; see python -m client --help\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "5", "0.5", "250ms", "5s", "2m", "1h30m", "1m 15s", "1d2h3m4s5ms6us7ns", "1.5h", "0s",
        "PT15S", "P1DT2H", "PT0.5S", "P2W", "", " ", "5 s", "s", "5x", "30m1h", "1s1s", "1m15", "1:30",
        "P", "PT", "P1M", "5S", "1,5s", "5s ", " 5s", "٥s", "1m  5s",
    ],
)  # fmt: skip
def test_durations_are_spelled_as_in_scenarios(text: str) -> None:
    """The client, which ships alone, has a reader of its own: the same texts mean the same, or nothing."""

    def seconds(reader: Callable[[str], float]) -> float | None:
        try:
            return reader(text)
        except ValueError:
            return None

    as_there = seconds(lambda text: parse_seconds(float(text) if text in ("5", "0.5") else text))
    assert seconds(parse_duration) == pytest.approx(as_there)


def test_the_defaults_end_within_a_minute() -> None:
    """Without options: exponential from 0.5 s to 10 s, full jitter, a deadline of 60 s."""
    _, policy = parse([])
    assert policy.cadence == Backoff("exponential", 0.5, multiplier=2, maximum=10, jitter="full")
    assert policy.deadline == 60


def test_options_shape_the_policy() -> None:
    """Each option reaches its field; a long first delay lifts the default cap; limits top a preset."""
    _, policy = parse(
        ["--curve", "linear", "--initial", "20", "--increment", "0", "--first-poll", "immediately"]
    )
    assert policy.cadence == Backoff("linear", 20, increment=0, maximum=20, jitter="full")
    assert policy.first_poll == "immediately"
    _, policy = parse(["--curve", "schedule", "--delays", "1,2.5", "--jitter", "none", "--no-deadline"])
    assert (policy.cadence, policy.deadline) == (Backoff("schedule", delays=[1, 2.5]), None)
    _, policy = parse(["--curve", "schedule", "--delays", "5,15", "--until", "60", "--anchor", "start"])
    assert (policy.cadence.until, policy.anchor, policy.missed) == ((60,), "start", "skip")
    _, policy = parse(["--anchor", "clock", "--missed", "catch_up", "--restart-on", "progress"])
    assert (policy.anchor, policy.missed, policy.restart_on) == ("clock", "catch_up", "progress")
    _, policy = parse(["--preset", "google-api-core-lro", "--deadline", "5", "--max-attempts", "7"])
    assert policy.cadence == PRESETS["google-api-core-lro"].cadence
    assert (policy.deadline, policy.max_attempts, policy.first_poll) == (5, 7, "immediately")
    _, policy = parse(["--initial", "500ms", "--deadline", "1m30s", "--request-timeout", "3s"])
    assert (policy.cadence.initial, policy.deadline, policy.request_timeout) == (0.5, 90, 3)
    assert policy.errors.max_consecutive == 4
    assert parse(["--max-failures", "0"])[1].errors.max_consecutive == 0


def test_a_reader_that_leaves_early_costs_no_traceback() -> None:
    """`python -m client | head -1` ends quietly: a closed pipe is no error of ours."""
    argv = [
        sys.executable,
        "-m",
        "client",
        "--url",
        "http://127.0.0.1:9",
        "--initial",
        "0.01",
        "--max-attempts",
        "1",
    ]
    with subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 141


def test_it_reads_the_dialect_that_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`--dialect take-home` reads `result`; without it the same reply has no state."""
    done = Reply(200, {"result": "completed"})
    assert run(*STEADY, "--dialect", "take-home", script=[done]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(": completed")


def test_a_dialect_may_name_an_implicit_job(run: Run, tmp_path: Path) -> None:
    """Then a job need not be, even where the path is the usual one."""
    file = tmp_path / "own.yaml"
    file.write_text("status: {implicit: /status, state: result}\n")
    assert run(*STEADY, "--dialect", str(file), script=[Reply(200, {"result": "completed"})]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dialect", "azur"], "invalid choice: 'azur' (choose from"),
        (
            ["--dialect", "azure", "--submit", "--key", "1"],
            "--key: a submission in the dialect azure",
        ),
        (["--dialect", "azure"], "say which job, --job ID or --submit: azure has none of its own"),
        (
            ["--dialect", str(ROOT / "docs" / "flower" / "dialect.yaml")],
            "dialect.yaml has none of its own (status.implicit)",
        ),
        (
            ["--dialect", str(ROOT / "docs" / "flower" / "scenario.yaml")],
            "scenario.yaml: this is a scenario; put what stands under its dialect into a file of its own",
        ),
    ],
)
def test_a_dialect_that_cannot_be_meant_is_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown name, a key that would not be sent, no job to poll, and a scenario are bad usage."""
    with pytest.raises(SystemExit) as stopped:
        parse(options)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
