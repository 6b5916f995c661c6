"""The command line over the twin: what it prints, what it writes, how it ends."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from harness._cli import main
from harness._plans import ask
from harness._refusal import UNUSABLE, Refusal
from harness._reports import make_report, simulate_to_folder
from harness.measure import results_schema
from scenarios import load_scenario, resolve

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = ROOT / "scenarios" / "video-translation.yaml"
PLAIN = """\
name: plain
question: Which one?
seed: 7
job: {duration: 2s}
service: {delay: 5ms}
workload: {lanes: 2, arrivals: {type: constant, rate: 10}, jobs: 20}
settings:
  constant: {curve: constant, initial: 300ms}
"""


def harness(*arguments: object) -> Result:
    """A command of `python -m harness`, in this process."""
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run in virtual time."""
    folder = tmp_path_factory.mktemp("twin") / "run"
    done = harness("simulate", DEFAULT, "--jobs", 400, "--out", folder)
    assert done.exit_code == 0, done.output
    return folder


def test_simulate_writes_what_a_live_run_writes(simulated: Path) -> None:
    """Raw rows, results and report have the same shape as live ones."""
    import jsonschema

    results = json.loads((simulated / "results.json").read_text())
    jsonschema.validate(results, results_schema())
    assert results["engine"] == "virtual"
    assert (simulated / "scenario.yaml").read_text() == DEFAULT.read_text()
    with (simulated / "jobs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 400
    assert "constant-2s" in (simulated / "report.html").read_text()
    for setting in results["settings"].values():
        assert setting["limit"]["ratio"] > 1
        assert setting["limit"]["polls_at_same_lag"] >= 1


def test_simulate_is_a_function_of_the_scenario(simulated: Path, tmp_path: Path) -> None:
    """The same scenario gives the same rows; nothing depends on the process or the hour."""
    assert harness("simulate", DEFAULT, "--jobs", 400, "--out", tmp_path / "again").exit_code == 0
    assert (tmp_path / "again" / "jobs.csv").read_bytes() == (simulated / "jobs.csv").read_bytes()


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are text")
def test_a_folder_s_name_need_not_be_text(tmp_path: Path) -> None:
    """Rows are written into it and read back, and it is printed as it is where the terminal's code allows."""
    folder = os.fsencode(tmp_path / "run") + b"\xff"
    (tmp_path / "plain.yaml").write_text(PLAIN)

    def last_line(encoding: str, *command: bytes | str) -> bytes:
        told = os.environ | {"PYTHONIOENCODING": encoding}
        line = [sys.executable, "-m", "harness", *command]
        said = subprocess.run(line, cwd=ROOT, env=told, capture_output=True, check=False)
        assert said.returncode == 0, said.stderr.decode()
        return said.stdout.splitlines()[-1]

    made = last_line("utf-8:strict", "simulate", str(tmp_path / "plain.yaml"), "--out", folder)
    assert made == b"report: " + folder + b"/report.html"
    assert last_line("latin-1:strict", "report", folder) == made.replace(b"\xff", b"?")
    assert harness("compare", os.fsdecode(folder), os.fsdecode(folder)).exit_code == 0


def test_a_run_is_never_overwritten(simulated: Path) -> None:
    """A folder that holds anything is refused."""
    before = (simulated / "jobs.csv").read_bytes()
    done = harness("simulate", DEFAULT, "--jobs", 10, "--out", simulated)
    assert done.exit_code == 2
    assert "not empty" in done.output
    assert (simulated / "jobs.csv").read_bytes() == before


def test_an_edited_scenario_shows_in_the_results(tmp_path: Path) -> None:
    """Another duration and another setting change the figures the way they should."""
    text = DEFAULT.read_text()
    edited = tmp_path / "edited.yaml"
    edited.write_text(
        text.replace("median: 4s", "median: 8s").replace(
            "settings:\n", "settings:\n  mine: {curve: linear, initial: 1s, maximum: 4s}\n"
        )
    )
    done = harness("simulate", edited, "--jobs", 400, "--out", tmp_path / "run", "--json")
    results = json.loads(done.stdout)
    assert "mine" in results["settings"]
    assert results["settings"]["mine"]["description"].startswith("linear")
    mean = results["settings"]["constant-1s"]["completion_latency_s"]["mean"]
    law = load_scenario(edited).job.duration.mean()
    assert abs(mean - law - 0.5) < 0.1 * law


def test_helpers_of_the_commands_refuse_instead_of_exiting(simulated: Path, tmp_path: Path) -> None:
    """From Python, what a command would end by is an exception with its message and exit status."""
    options = resolve(str(DEFAULT), reports=str(tmp_path))
    with pytest.raises(Refusal, match="not empty") as refused:
        simulate_to_folder(options, 10, None, str(simulated))
    assert refused.value.status == UNUSABLE
    with pytest.raises(Refusal, match="at most") as refused:
        simulate_to_folder(options, 10**9, None, None)
    assert refused.value.status == UNUSABLE
    with pytest.raises(Refusal) as refused:
        make_report(tmp_path / "nothing")
    assert refused.value.status == UNUSABLE
    with pytest.raises(Refusal, match="server's CPU time was not measured") as refused:
        ask(options, None, 1e6, str(simulated))
    assert refused.value.status == UNUSABLE


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    """A name that is not among the settings ends with status 2 and what may have been meant."""
    done = harness("simulate", DEFAULT, "-s", "constant-1", "--out", tmp_path / "run")
    assert done.exit_code == 2
    assert "did you mean 'constant-1s'" in done.output
    assert not (tmp_path / "run").exists()


def test_compare_tells_a_run_from_a_worse_one(simulated: Path, tmp_path: Path) -> None:
    """Same jobs, slower polling: exit 1; the same run: exit 0; nonsense: exit 2."""
    worse = tmp_path / "worse.yaml"
    worse.write_text(DEFAULT.read_text().replace("constant, initial: 1s", "constant, initial: 3s"))
    assert harness("simulate", worse, "--jobs", 400, "--out", tmp_path / "worse").exit_code == 0
    assert harness("compare", simulated, simulated).exit_code == 0
    compared = harness("compare", simulated, tmp_path / "worse")
    assert compared.exit_code == 1
    assert "worse" in compared.output
    assert harness("compare", simulated, tmp_path / "nothing").exit_code == 2


def test_check_says_what_would_run_and_names_every_fault(tmp_path: Path) -> None:
    """Valid files are told in English; of invalid ones every fault, with status 2."""
    done = harness("check", DEFAULT)
    assert done.exit_code == 0
    assert "constant-1s: constant: every 1 s" in done.output
    assert "cost: 5 visits" in done.output
    broken = tmp_path / "broken.yaml"
    broken.write_text(DEFAULT.read_text().replace("multiplier", "multipler").replace("lanes: 20", "lanes: x"))
    done = harness("check", DEFAULT, broken)
    assert done.exit_code == 2
    assert (
        len(
            re.findall(
                r"broken\.yaml:\d+: settings\.[^:]*multipler: .*did you mean 'multiplier'", done.output
            )
        )
        == 2
    )
    assert re.search(r"broken\.yaml:\d+: workload\.lanes: ", done.output)


def test_scenario_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line comes first, then BACKOFF_SCENARIO, then config.yaml: what a refusal names."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("BACKOFF_SCENARIO", "outage")
    for command in ("run", "simulate"):
        assert "the settings of outage;" in harness(command, "-s", "nobody").output
        assert "the settings of long-tail;" in harness(command, "long-tail", "-s", "nobody").output
    monkeypatch.delenv("BACKOFF_SCENARIO")
    assert "the settings of video-translation;" in harness("simulate", "-s", "nobody").output


def test_plan_gives_the_contracts_keys_and_yaml_that_loads(tmp_path: Path) -> None:
    """`plan --json` has the keys that others build on, and its YAML is a setting of a scenario."""
    done = harness("plan", DEFAULT, "--cost", "0.5", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    optimum = {"cost_per_poll_s", "polls", "lag_s", "objective_s", "schedule_s"}
    assert optimum <= answer["optimum"].keys()
    assert all(optimum <= point.keys() for point in answer["frontier"])
    assert answer["optimum"]["cost_per_poll_s"] == 0.5
    best = answer["optimum"]
    assert best["objective_s"] == pytest.approx(0.5 * best["polls"] + best["lag_s"])
    for setting in answer["settings"].values():
        assert {"polls", "lag_s", "polls_at_same_lag", "ratio"} <= setting.keys()
        assert setting["ratio"] > 1
    text = DEFAULT.read_text()
    pasted = tmp_path / "pasted.yaml"
    settings = yaml.safe_load(answer["recommendation"]["yaml"])
    pasted.write_text(
        re.sub(r"settings:\n(  .*\n)+", yaml.safe_dump({"settings": settings}), text).replace(
            "baseline: constant-1s\n", ""
        )
    )
    assert list(load_scenario(pasted).settings) == list(settings)


def test_every_command_is_documented() -> None:
    """Each command has help that ends in an example, and docs/commands.md shows it."""
    documents = (ROOT / "README.md").read_text() + "".join(
        path.read_text() for path in (ROOT / "docs").glob("*.md")
    )
    for name, command in main.commands.items():
        assert command.help, name
        assert f"python -m harness {name}" in documents, name
        assert f"python -m harness {name}" in (ROOT / "docs" / "commands.md").read_text(), name
        title, example, *_ = str(command.epilog).split("python -m", 2)
        assert title.split() in (["Example:"], ["Examples:", "\b"]), name
        assert example.startswith((f" harness {name} ", f" harness {name}\n")), name


def examples() -> Iterator[str]:
    """Every command of ours in the helps, on the front page and on the page of continuous integration."""
    for command in main.commands.values():
        yield from re.findall(r"python -m harness .*", str(command.epilog))
    for page in (ROOT / "README.md", ROOT / "docs" / "ci.md"):
        indented_or_fenced = r"^((?: {4}[^\n]*\n)+)|^```\w*\n(.*?)^```"
        blocks = re.findall(indented_or_fenced, page.read_text(), re.DOTALL | re.MULTILINE)
        yield from re.findall(r"python -m harness .*", "\n".join(map("".join, blocks)))


@pytest.mark.parametrize("line", dict.fromkeys(examples()))
def test_an_example_can_be_typed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command, options and values are understood; nothing is run."""
    monkeypatch.setattr("harness._runs.run_called", Path)  # there may be no run yet
    typed = shlex.shlex(line.partition("||")[0].partition(" > ")[0], posix=True, punctuation_chars=False)
    typed.whitespace_split = True
    _, _, program, name, *arguments = typed
    assert program == "harness"
    main.commands[name].make_context(name, arguments)


def test_make_alone_lists_the_targets() -> None:
    """A newcomer types `make`."""
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "test", "lint", "check", "bench"):
        assert f"make {target}" in listed


def test_the_door_is_the_module(tmp_path: Path) -> None:
    """`python -m harness` ends with status 2 on words it does not know."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "frobnicate"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", ["harness", "server", "client"])
def test_every_program_tells_its_version(program: str, tmp_path: Path) -> None:
    """`--version` prints the installed distribution's, wherever it is started."""
    command = [sys.executable, "-m", program, "--version"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said == f"python -m {program}, version {version('backoff-harness')}\n"
