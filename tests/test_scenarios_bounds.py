"""Numbers without sense are refused, each with its reason; what is accepted is quickly looked at."""

from __future__ import annotations

import itertools
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hostile_parts import RAW, is_told_well
from hostile_parts import mutated as mutated_tree

from client import Backoff, PollingPolicy
from harness._cli import main
from harness.live import seconds_before_visit
from harness.virtual import visit_costs
from scenarios import describe, load_config, load_scenario
from scenarios._effort import effort_of
from scenarios.documents import DocumentError, parse_document

ROOT = Path(__file__).parents[1]
SCENARIO: dict[str, Any] = {
    "name": "bounds",
    "job": {"duration": 1},
    "service": {"delay": 0.005},
    "workload": {"lanes": 8, "arrivals": {"type": "constant", "rate": 20}, "duration": 2.5},
    "settings": {"only": {"curve": "constant", "initial": 0.3}},
}
YEAR = "must be at most 366d, for nothing here lasts longer than a year"
RATES = "for rates here lie between one in eleven days and a million per second"


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the scenario with one value changed or added."""
    data: dict[str, Any] = yaml.safe_load(yaml.safe_dump(SCENARIO))
    place: Any = data
    *parents, last = path.split(".")
    for part in parents:
        place = place.setdefault(part, {})
    place[last] = value
    return data


def refused_text(folder: Path, text: str) -> list[str]:
    """Return what is printed about a file with this text, line by line."""
    file = folder / "x.yaml"
    file.write_text(text)
    with pytest.raises(DocumentError) as caught:
        load_scenario(file)
    return str(caught.value).splitlines()


def refused(folder: Path, data: Any) -> list[str]:
    """Return path and message of each fault."""
    file = folder / "x.yaml"
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    with pytest.raises(DocumentError) as caught:
        load_scenario(file)
    return [f"{each.path}: {each.message}" for each in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("workload.lanes", 10**20, "must be at most 100,000, for no machine holds more clients at once"),
        ("workload.repeats", 10**9, "must be at most 10,000, for more repeats make nothing surer"),
        ("workload.duration", 1e300, YEAR),
        ("job.duration", 1e300, YEAR),
        ("settings.only.initial", "367d", YEAR),
        ("settings.only.deadline", 1e303, YEAR),
        ("job.slots", 10**40, "must be at most 1,000,000,000"),
        ("settings.only.on_error", {"max_consecutive": 10**40}, "must be at most 1,000,000,000"),
        ("workload.arrivals.rate", 1e308, f"must be at most 1,000,000, {RATES}"),
        ("workload.arrivals.rate", 5e-324, f"must be at least 1e-06, {RATES}"),
        ("workload.arrivals", {"type": "burst", "size": 10**20}, "must be at most 1,000,000,000"),
        (
            "job.duration",
            {"type": "mixture", "of": [{"weight": 1e308, "type": "fixed", "value": 1}] * 2},
            "must be at most 1,000,000,000",
        ),
    ],
)
def test_each_number_has_a_bound_and_its_reason(tmp_path: Path, path: str, value: Any, fault: str) -> None:
    """The message names the key, the bound, why it is there and what was written."""
    first, *_ = refused(tmp_path, changed(path, value))
    assert first.startswith(path)
    assert fault in first


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"arrivals": {"type": "constant", "rate": 1e6}, "duration": 100},
            "asks for about 1e+08 jobs in 1 visit",
        ),
        (
            {"jobs": 10**8, "duration": None},
            "asks for about 1e+08 jobs in 1 visit; at most 10,000,000 can be kept",
        ),
        ({"arrivals": {"type": "closed"}, "lanes": 10**5, "duration": 3600}, "asks for about 2.95e+08 jobs"),
        (
            {"arrivals": {"type": "burst", "size": 1000, "every": 0.001}, "duration": 60},
            "asks for about 6e+07 jobs",
        ),
        (
            {"arrivals": {"type": "poisson", "rate": 0.001}, "jobs": 10**6, "duration": None},
            "more than a year",
        ),
    ],
)
def test_more_jobs_than_can_be_kept_are_refused(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    """Each job is a row; their number follows from the workload's numbers together."""
    (found,) = refused(tmp_path, changed("workload", SCENARIO["workload"] | changes))
    assert found.startswith("workload")
    assert fault in found


@pytest.mark.parametrize(
    ("setting", "polls"),
    [
        ({"initial": "1us"}, "about 1.8e+10 polls (50 jobs, 3.6e+08 polls each)"),
        ({"initial": 5e-324}, "polls without end (50 jobs, inf polls each)"),
        ({"curve": "schedule", "delays": [0, 0, 0, 1e-9]}, "about 1.81e+13 polls"),
    ],
)
def test_more_polls_than_anyone_can_make_are_refused(
    tmp_path: Path, setting: dict[str, Any], polls: str
) -> None:
    """Tight polling of long jobs, where replies take no time, is told beforehand with its numbers."""
    given = {"curve": "constant"} | setting
    data = changed("settings", {"only": given}) | {"job": {"duration": "6m"}, "service": {}}
    (found,) = refused(tmp_path, data)
    assert found.startswith(f"settings.only: asks for {polls}")
    assert found.endswith("wait longer between polls, or give a deadline")


def test_a_pace_that_replies_bound_is_no_fault(tmp_path: Path) -> None:
    """Polling as fast as replies come costs one poll for each reply time."""
    file = tmp_path / "x.yaml"
    file.write_text(yaml.safe_dump(changed("settings.only.initial", 5e-324)))
    assert load_scenario(file).settings["only"].cadence.initial == 5e-324


@pytest.mark.parametrize("polls", [10, 1_000, 50_000])
def test_the_effort_of_a_constant_setting_is_length_over_delay(polls: int) -> None:
    """Beyond what is followed, the pace goes on."""
    found = effort_of(PollingPolicy(Backoff("constant", 0.5)), 0.5 * polls - 0.1)
    assert found.polls == pytest.approx(polls, rel=0.001)
    assert found.seconds == pytest.approx(0.5 * polls, rel=0.001)


def test_too_many_settings_and_visits_are_refused(tmp_path: Path) -> None:
    """Nobody reads a table of hundreds of settings, and nobody waits for a million visits."""
    many = {f"s{index}": SCENARIO["settings"]["only"] for index in range(201)}
    assert refused(tmp_path, changed("settings", many)) == [
        "settings: has 201 of them; at most 200 are compared at once"
    ]
    data = changed("settings", dict(list(many.items())[:20])) | {
        "workload": SCENARIO["workload"] | {"repeats": 10_000}
    }
    assert refused(tmp_path, data) == [
        "workload: asks for 200,000 visits; at most 100,000 can be had: lower repeats"
    ]


def test_a_file_with_many_faults_shows_the_first_and_counts_the_others(tmp_path: Path) -> None:
    """Tens of thousands of lines would help nobody."""
    text = "".join(f"unknown{index}: 1\n" for index in range(1_000))
    lines = refused_text(tmp_path, text)
    assert len(lines) == 21
    assert lines[-1].endswith("x.yaml: and 984 more")


def test_values_are_counted_as_they_are_read() -> None:
    """A large file is refused before it has been composed."""
    with pytest.raises(DocumentError, match="more than 100,000 values in one file"):
        parse_document("x: [" + "a," * 150_000 + "]", "x.yaml")


def test_what_a_terminal_would_obey_is_shown_escaped(tmp_path: Path) -> None:
    """Neither faults nor descriptions carry control characters of a file to the terminal."""
    escape = "\x1b]0;owned\x07"
    file = tmp_path / "x.yaml"
    file.write_text(f'"bad{escape!r}": 1\n'.replace("'", ""), "utf-8")
    with pytest.raises(DocumentError) as caught:
        load_scenario(file)
    assert str(caught.value).replace("\n", "").isprintable()
    file.write_text(yaml.safe_dump(SCENARIO | {"question": f"what{escape}?"}))
    scenario = load_scenario(file)
    lines = describe(scenario, visit_costs(scenario))
    assert "what\\x1b]0;owned\\x07?" in lines[0]
    assert all(line.isprintable() for line in lines)


def test_pipes_and_devices_are_no_scenarios(tmp_path: Path) -> None:
    """Opening a pipe would wait for ever, reading a device would never end."""
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    for file in (pipe, Path("/dev/zero")):
        with pytest.raises(DocumentError, match="this is a device or a pipe; name a regular file"):
            load_scenario(file)


def test_a_question_is_no_book(tmp_path: Path) -> None:
    """It is printed wherever the scenario is: 2,000 characters will do."""
    assert refused(tmp_path, changed("question", "why " * 501)) == [
        "question: must have at most 2,000 characters"
    ]


def written(data: Any, draw: random.Random) -> str:
    """Return the data as YAML, or what looks like it; one in five with an odd character somewhere."""
    text = yaml.safe_dump(data)
    for name, raw in RAW.items():
        text = text.replace(f"'{name}'", raw)
    if draw.random() < 0.2:
        at = draw.randrange(len(text))
        odd = ["\t", "{", "]", ": ", "&a *a", "\n", "'", "\x00", "\x85", "!!python/object:os.system "]
        text = text[:at] + draw.choice(odd) + text[at:]
    return text


def mutated(seed: int) -> str:
    """Return a shipped scenario with one to four values, keys or characters changed."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    files = sorted((ROOT / "scenarios").glob("*.yaml"))
    data = yaml.safe_load(draw.choice(files).read_text())
    return written(mutated_tree(data, draw, draw.randint(1, 4)), draw)


def survives(folder: Path, seeds: range) -> None:
    """Check each file as the command does: an answer or faults, quickly, in few plain characters."""
    file = folder / "x.yaml"
    for seed in seeds:
        file.write_text(mutated(seed), "utf-8", "surrogatepass")
        begun = time.process_time()
        try:
            scenario = load_scenario(file)
        except DocumentError as error:
            said = str(error)
        else:
            costs = visit_costs(scenario) if scenario.job else {}
            said = "\n".join(describe(scenario, costs, seconds_before_visit(scenario.workload.lanes)))
        assert time.process_time() - begun < 5.0, seed
        assert said.replace("\n", "").isprintable(), seed
        assert 0 < len(said) < 10_000, seed


def test_no_mutation_of_a_scenario_breaks_check(tmp_path: Path) -> None:
    """A few of the files that the slow proof tries by the thousands."""
    survives(tmp_path, range(60))


@pytest.mark.slow
def test_ten_thousand_mutations_of_scenarios_do_not_break_check(tmp_path: Path) -> None:
    """No traceback, nothing over five seconds, no control character, no endless message."""
    survives(tmp_path, range(1_000, 11_000))


CONFIG: dict[str, Any] = {
    "scenario": "video-translation",
    "simulator": {"host": "127.0.0.1", "port": 5000, "processes": 1},
    "reports": "reports",
}


def mutated_config(seed: int) -> str:
    """Return a config.yaml with one to four things changed."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    return written(mutated_tree(CONFIG, draw, draw.randint(1, 4)), draw)


def survives_config(folder: Path, seeds: range) -> int:
    """Resolve an experiment by each file; return how many were accepted."""
    file = folder / "config.yaml"
    accepted = 0
    for seed in seeds:
        file.write_bytes(mutated_config(seed).encode("utf-8", "surrogatepass"))
        begun, said = time.process_time(), "accepted"
        try:
            load_config(file)
            accepted += 1
        except DocumentError as error:
            said = str(error)
        assert is_told_well(said), seed
        assert time.process_time() - begun < 5.0, seed
    return accepted


def test_no_mutation_of_the_deployment_breaks_its_reader(tmp_path: Path) -> None:
    """A few of the config.yaml files that the slow proof tries by the thousands."""
    assert 0 < survives_config(tmp_path, range(100)) < 100


@pytest.mark.slow
def test_ten_thousand_mutations_of_the_deployment_do_not_break_its_reader(tmp_path: Path) -> None:
    """Nor does any of these: faults with their lines, or a deployment."""
    survives_config(tmp_path, range(1_000, 11_000))


def started(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, float]]:
    """Simulate, plan and begin to run an accepted scenario: exit status and processor time of each."""
    runs: list[object] = []
    monkeypatch.setattr("os.execve", lambda *words: runs.append(words))  # what is beyond is Locust's
    commands = {
        "run": ["run", "--reports", str(folder)],
        "plan": ["plan"],
        "simulate": ["simulate", "--jobs", "20", "--out", str(folder / str(seed))],
    }
    found = {}
    for name, (command, *options) in commands.items():
        begun = time.process_time()
        result = CliRunner().invoke(main, [command, str(folder / "x.yaml"), *options])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            result.exception.add_note(f"seed {seed}: {name}")
            raise result.exception
        found[name] = (result.exit_code, time.process_time() - begun)
    return found


@pytest.mark.slow
def test_what_is_accepted_can_be_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 mutated scenarios that ``check`` accepts each is run, planned and simulated, or refused."""
    begun = 0
    for seed in itertools.count(50_000):
        (tmp_path / "x.yaml").write_text(mutated(seed), "utf-8", "surrogatepass")
        try:
            load_scenario(tmp_path / "x.yaml")
        except DocumentError:
            continue
        for name, (status, seconds) in started(tmp_path, seed, monkeypatch).items():
            assert status in (0, 1, 2), (seed, name)
            assert seconds < (60.0 if name == "plan" else 5.0), (seed, name)  # plan searches for its answer
        begun += 1
        if begun == 200:
            return
