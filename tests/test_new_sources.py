"""`new`: scenarios from measured times, from presets and from answers; what is written, and what is not."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from terminal_parts import terminal

from client import PRESETS, Backoff, PollingPolicy
from harness._cli import main
from harness.new import _asked, from_preset, from_trace
from harness.new._pieces import Start, comment, exact, flow, named, quoted, rate_yaml, spelled
from scenarios import Scenario, load_scenario
from scenarios.documents import parse_rate, parse_seconds
from scenarios.draws import Lognormal, Trace


def harness(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


def passes(path: Path) -> Scenario:
    """The scenario, which `check` and `simulate --jobs 50` accept."""
    assert harness("check", path).exit_code == 0
    done = harness("simulate", path, "--jobs", 50, "--out", path.with_suffix(".run"))
    assert done.exit_code == 0, done.output
    return load_scenario(path)


def written(path: Path, *arguments: object) -> str:
    """What `new` says when it writes this file."""
    done = harness("new", *arguments, "--out", path)
    assert done.exit_code == 0, done.output
    return done.output


# -- measured times ---------------------------------------------------------------------------------------


def test_a_trace_s_durations_are_found_said_and_used(tmp_path: Path) -> None:
    """The column by its name, unit and grid; settings fit the median, jobs come as often as they did."""
    trace = tmp_path / "It's my: jobs #1.csv"
    rows = "".join(f"{i},{1_700_000_000 + 5 * i},{4000 + 17 * (i % 101)}\n" for i in range(200))
    trace.write_text(f"job,started_at,duration_ms\n{rows}")
    out = tmp_path / "sub" / "x.yaml"
    said = written(out, "--trace", trace)
    assert "200 measured values" in said
    assert "ms" in said
    scenario = passes(out)
    assert scenario.job is not None
    assert isinstance(scenario.job.duration, Trace)
    assert scenario.job.duration.seconds[0] == 4.0
    assert scenario.workload.arrivals.model_dump() == {"type": "poisson", "rate": pytest.approx(0.2)}
    assert scenario.settings["constant-1.2s"].cadence.initial == pytest.approx(1.2)
    assert scenario.baseline == "constant-1.2s"
    assert "google-api-core-lro" in scenario.settings
    assert "# or just when they came" in out.read_text()


@pytest.mark.parametrize(
    ("name", "text", "column"),
    [
        ("a.tsv", "x\ttotal time (s)\n" + "a\t3\n" * 9, "total time (s)"),
        ("b.csv", "id;elapsed\n" + "7;2.5\n" * 9, "elapsed"),
        ("c.csv", "name,measured\n" + "x,2s\ny,3s\n" * 5, "measured"),  # the only one that can be read
        ("d.csv", "latency,duration\n1,2\n", "duration"),  # the more telling name
        ("e.jsonl", '{"id": "a", "took": {"seconds": 3}}\n' * 9, "took.seconds"),
    ],
)
def test_the_likeliest_column_is_taken(name: str, text: str, column: str, tmp_path: Path) -> None:
    """By its name whatever delimits, else the one whose cells are durations."""
    (tmp_path / name).write_text(text)
    draft = from_trace(str(tmp_path / name), None, tmp_path)
    assert yaml.safe_load(draft.text)["job"]["duration"] == {"type": "trace", "file": name, "column": column}


def test_moments_of_start_and_end_are_durations(tmp_path: Path) -> None:
    """From when a job was asked for, in Parquet too; where rows can be told apart, that is said."""
    began = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=7 * i) for i in range(40)]
    ended = [at + timedelta(seconds=3 + i % 5) for i, at in enumerate(began)]
    later = [at + timedelta(seconds=1) for at in began]
    columns = {"started_at": later, "created_at": began, "status": ["ok"] * 40, "finished_at": ended}
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    draft = from_trace(str(tmp_path / "a.parquet"), None, tmp_path)
    written = yaml.safe_load(draft.text)
    duration = {"type": "trace", "file": "a.parquet", "start": "created_at", "end": "finished_at"}
    assert written["job"]["duration"] == duration
    assert written["workload"]["arrivals"] == {"type": "poisson", "rate": "8.4/min"}
    assert "where: 'status ==" in draft.text
    (tmp_path / "x.yaml").write_text(draft.text)
    assert load_scenario(tmp_path / "x.yaml").simulation.job.duration.mean() == pytest.approx(5.0, rel=0.01)


def test_a_column_that_is_named_is_taken_and_a_slip_is_guessed(tmp_path: Path) -> None:
    """--column decides; a name that is not there is told with the one that was meant."""
    (tmp_path / "a.csv").write_text("duration,waited\n1,9\n2,8\n,7\n")
    out = tmp_path / "x.yaml"
    written(out, "--trace", tmp_path / "a.csv", "--column", "waited")
    assert yaml.safe_load(out.read_text())["job"]["duration"]["column"] == "waited"
    done = harness("new", "--trace", tmp_path / "a.csv", "--column", "wated", "--out", tmp_path / "y.yaml")
    assert (done.exit_code, (tmp_path / "y.yaml").exists()) == (2, False)
    assert "did you mean 'waited'?" in done.output
    draft = from_trace(str(tmp_path / "a.csv"), "duration", tmp_path)
    assert yaml.safe_load(draft.text)["job"]["duration"]["missing"] == "skip"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,y\na,b\n", "name theirs with --column: 'x', 'y'"),
        ("x,y\n1,2\n3,4\n", "name theirs with --column: 'x', 'y'"),
        ("", "cannot read"),
        (None, "cannot read a.csv: No such file"),
    ],
)
def test_a_file_without_durations_is_told_with_its_columns(
    text: str | None, said: str, tmp_path: Path
) -> None:
    """Nothing is guessed from what could be anything."""
    if text is not None:
        (tmp_path / "a.csv").write_text(text)
    done = harness("new", "--trace", tmp_path / "a.csv", "--out", tmp_path / "x.yaml")
    assert (done.exit_code, (tmp_path / "x.yaml").exists()) == (2, False)
    assert said in done.output


# -- presets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_makes_a_scenario_in_which_it_is_the_baseline(name: str, tmp_path: Path) -> None:
    """It is as it ships, and loses few jobs to its own limits; the other settings suit the same jobs."""
    path = tmp_path / "x.yaml"
    path.write_text(from_preset(name).text)
    scenario = load_scenario(path)
    assert scenario.baseline == name
    assert scenario.settings[name] == PRESETS[name]
    assert len(scenario.settings) == 3
    deadline = PRESETS[name].deadline
    assert deadline is None or scenario.simulation.job.duration.cdf(deadline) > 0.98


def test_a_preset_s_scenario_passes_and_a_slip_is_guessed(tmp_path: Path) -> None:
    """`check` and `simulate` take it; an unknown name is told with the one that was meant."""
    written(tmp_path / "x.yaml", "--preset", "google-api-core-lro")
    passes(tmp_path / "x.yaml")
    done = harness("new", "--preset", "goggle-api-core", "--out", tmp_path / "y.yaml")
    assert (done.exit_code, (tmp_path / "y.yaml").exists()) == (2, False)
    assert "did you mean 'google-api-core-lro'?" in done.output


# -- what all have in common ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--preset", "x", "--trace", "y"), "--trace and --preset: give one source"),
        (("--preset", "stamina", "--column", "c"), "--column goes with --trace"),
        (("--preset", "stamina", "--yes"), "--yes goes with --curl"),
        (("--trace", "y", "--allow-host", "h"), "--allow-host goes with --curl"),
        ((), "there is no terminal to ask on: name a source, --from RUN, --trace FILE, --preset NAME or"),
    ],
)
def test_sources_exclude_each_other(arguments: tuple[str, ...], said: str) -> None:
    """One source, and its own options; none and no terminal names them all."""
    done = harness("new", *arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_a_file_is_overwritten_by_force_alone(tmp_path: Path) -> None:
    """Without --force it stays as it is, and nothing is asked or sent before that is said."""
    out = tmp_path / "x.yaml"
    out.write_text("mine")
    for source in (("--preset", "stamina"), ("--curl", "curl http://127.0.0.1:1/x -d '{}'", "--yes"), ()):
        done = harness("new", *source, "--out", out)
        assert (done.exit_code, out.read_text()) == (2, "mine")
        assert "add --force" in done.output
    written(out, "--preset", "stamina", "--force")
    assert "stamina" in out.read_text()


def test_help_ends_in_commands_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source has an example there; those that need nothing of the reader's are run."""
    monkeypatch.chdir(tmp_path)
    shown = harness("new", "--help").output
    examples = re.findall(r"^ +python -m harness (new.*)$", shown, re.MULTILINE)
    assert {word for line in examples for word in line.split() if word.startswith("--")} >= {
        "--from", "--trace", "--preset", "--curl",
    }  # fmt: skip
    (preset,) = [line for line in examples if "--preset" in line]
    assert harness(*preset.split()).exit_code == 0


@given(st.text())
def test_any_text_is_safe_in_yaml(text: str) -> None:
    """Quoted it is itself again; in a comment it stays one; a name is made of it that scenarios may bear."""
    sound = text.encode("utf-8", "replace").decode()
    lines = [*comment(f"a {text}", 2), f"key: {quoted(text)}", f"more: {flow({'k': sound})}"]
    assert yaml.safe_load("\n".join(lines)) == {"key": sound, "more": {"k": sound}}
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,63}", named(text))


@given(st.floats(1e-6, 1e7))
def test_times_and_rates_are_spelled_as_they_are_read(value: float) -> None:
    """What is written is read again, to the digits that were meant."""
    assert parse_seconds(spelled(value)) == pytest.approx(value, rel=0.06)
    assert parse_seconds(exact(value)) == value
    text = rate_yaml(value)
    rate = float(text) if "/" not in text else parse_rate(text)
    assert rate == pytest.approx(value, rel=1e-5)


@given(st.floats(1e-3, 1e6))
def test_settings_to_begin_with_fit_any_length_of_jobs(typical: float) -> None:
    """A few polls per job, and lags below its length, whatever it takes."""
    start = Start(typical)
    settings = yaml.safe_load("settings:\n" + "\n".join(start.settings(start.known)))["settings"]
    assert start.constant in settings
    assert 3 <= typical / parse_seconds(settings[start.constant]["initial"]) <= 5
    assert parse_seconds(settings["exponential"]["initial"]) < typical


# -- questions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "policy"),
    [
        ("5s", "today", PollingPolicy(Backoff("constant", 5.0))),
        ("2.5", "today", PollingPolicy(Backoff("constant", 2.5))),
        ("stamina", "stamina", PRESETS["stamina"]),
        ("{curve: constant, initial: 3s}", "today", PollingPolicy(Backoff("constant", 3.0))),
        ("eager: {curve: constant, initial: 1s}", "eager", PollingPolicy(Backoff("constant", 1.0))),
    ],
)
def test_polling_of_today_is_a_wait_a_preset_or_yaml(text: str, name: str, policy: PollingPolicy) -> None:
    """Three ways to say it."""
    assert _asked._polling(text) == (name, policy)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("staminna", "did you mean 'stamina'?"),
        ("5 parsecs", "is not a duration"),
        ("0", "more than 0 seconds"),
        ("{curve: constnat}", "did you mean 'constant'"),
    ],
)
def test_a_bad_answer_has_its_reason(text: str, said: str) -> None:
    """What is asked again is asked with what was wrong."""
    with pytest.raises(ValueError, match=re.escape(said)):
        _asked._polling(text)


def test_a_few_questions_make_a_scenario(tmp_path: Path) -> None:
    """Enter takes what is offered, a bad answer is asked again with the reason; what was said is there."""
    (tmp_path / "jobs.yaml").write_text("mine")
    with terminal(tmp_path) as at:
        at.answer("What are these jobs, in a few words [jobs]: ", "\n")
        at.wait_for("jobs.yaml is there already")
        at.answer("What are these jobs", 'Übersetzung: "Wer\'s mag" #1\n')
        at.answer("Half of them are done within [10s]: ", "soon\n")
        at.wait_for("is not a duration")
        at.answer("Half of them are done within [10s]: ", "20s\n")
        at.answer("99 of 100 are done within [80s]: ", "15s\n")
        at.wait_for("give more than that")
        at.answer("99 of 100 are done within [80s]: ", "\n")
        at.answer("How many come", "30/min\n")
        at.answer("should know of the end within [10s]: ", "\n")
        at.answer("How do clients poll now", "stamina\n")
        at.wait_for("Ubersetzung-Wer-s-mag-1.yaml: check it with")
        assert at.process.wait(60) == 0
    scenario = passes(tmp_path / "Ubersetzung-Wer-s-mag-1.yaml")
    assert 'Übersetzung: "Wer\'s mag" #1' in scenario.question
    assert scenario.job is not None
    assert isinstance(scenario.job.duration, Lognormal)
    assert scenario.job.duration.median == 20
    assert scenario.job.duration.ppf(0.99) == pytest.approx(80)
    assert scenario.workload.arrivals.model_dump()["rate"] == 0.5
    assert (scenario.baseline, dict(scenario.objectives)) == ("stamina", {"lag_p95": 10.0})
    assert (tmp_path / "jobs.yaml").read_text() == "mine"


# Behind Ctrl-C a line: where the signal comes just before Python waits, that is what lets it see the signal.
@pytest.mark.parametrize("key", ["\x03\n", "\x04"])
def test_leaving_before_the_last_answer_leaves_nothing(key: str, tmp_path: Path) -> None:
    """Ctrl-C and the end of input: status 130, and no file."""
    with terminal(tmp_path) as at:
        at.answer("What are these jobs", "mine\n")
        at.answer("[10s]: ", key)
        assert at.process.wait(60) == 130
    assert list(tmp_path.iterdir()) == []
