"""A scenario's target: what it may say, what is wrong with it, and what jobs are submitted with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from client import Request
from harness._cli import main
from scenarios import NothingToSimulate, Scenario, Target, load_scenario
from scenarios.documents import DocumentError

SCENARIO = """\
name: own
target:
  base_url: https://staging.example.com/v1/
  dialect:
    submit: {path: "/models/{model}/jobs", json: {input: {url: "{url}", n: "{n}"}, is: "{n} of {{n}}: {key}"}}
    status: {path: "/jobs/{id}"}
  headers: {Authorization: "Bearer ${OWN_API_KEY}"}
  inputs: INPUTS
  limits: {jobs: 8, rate: 3, in_flight: 5}
workload: {lanes: 1, arrivals: {type: burst, size: 4}, jobs: 4}
settings:
  quick: {curve: constant, initial: 1s}
"""
INPUTS = '[{url: "https://a", model: m 1, n: 3, lang: fr}, {url: "https://b", model: m/2, n: [1]}]'
Load = Callable[..., Scenario]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load the scenario with some texts replaced by others."""
    monkeypatch.setenv("OWN_API_KEY", "open-sesame")

    def load(*edits: tuple[str, str], inputs: str = INPUTS) -> Scenario:
        text = SCENARIO
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "own.yaml"
        path.write_text(text.replace("INPUTS", inputs))
        return load_scenario(path)

    return load


def target_of(scenario: Scenario) -> Target:
    assert scenario.target is not None
    return scenario.target


def submitted(scenario: Scenario, key: int) -> Request:
    target = target_of(scenario)
    return target.submission(target.spoken.submission(key), key, "quick", "20260102T030405Z")


def test_a_target_needs_no_job_and_then_nothing_can_be_simulated(load: Load) -> None:
    """The remedy is a run, and a scenario made from it."""
    scenario = load()
    assert (scenario.job, target_of(scenario).base_url) == (None, "https://staging.example.com/v1")
    with pytest.raises(NothingToSimulate, match=r"run it, .* `python -m harness new --from RUN`, or add"):
        _ = scenario.simulation
    with_job = load(("workload:", "job: {duration: 3s}\nworkload:"))
    assert with_job.duration(7) == 3.0


@pytest.mark.parametrize("command", [["simulate"], ["plan"], ["tune", "--verify"]])
def test_commands_that_simulate_refuse_a_target_alone(load: Load, command: list[str]) -> None:
    """Exit status 2, one line."""
    path = str(load().path)
    done = CliRunner().invoke(main, [command[0], path, *command[1:]])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert "has no job to simulate: run it, then" in line


def test_check_says_what_a_run_on_a_target_would_send(load: Load) -> None:
    """Bounds and names of secrets, not their values; and that the plan does not fit, if so."""
    done = CliRunner().invoke(main, ["check", str(load(("jobs: 8", "jobs: 3")).path)])
    assert done.exit_code == 0, done.stderr
    for said in (
        "target: https://staging.example.com/v1\n",
        "asks: POST /models/{model}/jobs with 2 inputs in turn, then GET /jobs/{id}\n",
        "limits: at most 3 jobs in all, 5 at once, 3 requests/s of any kind\n",
        "secrets from the environment: OWN_API_KEY\n",
        "(polls for a job: 5 of 5 s, 60 of 60 s, 600 of 10 min)",
        "1 visit, 4 jobs; about 24 requests if a job takes 5 s (8 s at least)",
        "note: 1 visits submit 4 jobs, but target.limits.jobs allows 3: raise it, or lower workload.jobs",
    ):
        assert said in done.stdout
    assert "open-sesame" not in done.stdout


def test_a_submission_is_filled_with_its_input(load: Load) -> None:
    """A whole place keeps its type, in paths it is escaped; what has no place joins the body."""
    scenario = load()
    first, second, third = (submitted(scenario, key) for key in (0, 1, 2 + 10**9))
    assert first.path == "/models/m%201/jobs"
    assert first.json == {"input": {"url": "https://a", "n": 3}, "is": "3 of {n}: 0", "lang": "fr"}
    assert second.path == "/models/m%2F2/jobs"
    assert second.json == {"input": {"url": "https://b", "n": [1]}, "is": "[1] of {n}: 1"}
    assert third.json == {"input": {"url": "https://a", "n": 3}, "is": "3 of {n}: 1000000002", "lang": "fr"}
    assert dict(first.private) == {"Authorization": "Bearer ${OWN_API_KEY}"}


@pytest.mark.parametrize(
    ("name", "content", "n"),
    [
        ("in.csv", "url, model,n\r\nhttps://a,m 1,3\n\nhttps://b,m/2,4\n", "3"),
        (
            "in.jsonl",
            '{"url": "https://a", "model": "m 1", "n": 3}\n\n{"url": "b", "model": "c", "n": 1}\n',
            3,
        ),
    ],
)
def test_inputs_come_from_a_file_beside_the_scenario(
    load: Load, tmp_path: Path, name: str, content: str, n: object
) -> None:
    """CSV cells are text, JSON Lines have types; blank lines are skipped."""
    (tmp_path / name).write_text(content)
    scenario = load(inputs=name)
    assert len(target_of(scenario).inputs) == 2
    assert submitted(scenario, 2).json["input"] == {"url": "https://a", "n": n}  # type: ignore[index] # an object


FAULTS = [
    ("https://staging", "https://me:pw@staging", "3: target.base_url: holds a user's name or password"),
    ("/v1/", "/v1?x=1", "3: target.base_url: .*leave the query away"),
    ("https://staging", "ftp://staging", "3: target.base_url: .*give an address like http"),
    (", rate: 3", "", "9: target.limits.rate: this key is required and missing"),
    ("rate: 3", "rate: 0", "9: target.limits.rate: must be more than 0"),
    ("in_flight: 5", "in_fligth: 5", r"9: target.limits.in_fligth: unknown key; did you mean 'in_flight'\?"),
    (
        "Bearer ${OWN_API_KEY}",
        "Bearer abc",
        "7: target.headers.Authorization: looks like a secret; write ",
    ),
    (
        "${OWN_API_KEY}",
        "${NO_SUCH_KEY}",
        "7: target.headers.*: the environment has no NO_SUCH_KEY",
    ),
    (
        "of {{n}}: {key}",
        "${NO_KEY}",
        "5: target.dialect.submit.json.is: the environment has no NO_KEY",
    ),
    (
        'status: {path: "/jobs/{id}"}',
        'status: {path: "/jobs/{id}", headers: {X-Key: "${NO_KEY}"}}',
        "6: target.dialect.status.headers.X-Key: the environment has no NO_KEY",
    ),
    (
        '"{url}"',
        '"{urll}"',
        r"5: target.dialect.submit: \{urll\} is no input; the places are index",
    ),
    (
        INPUTS,
        "[{url: x, model: m}]",
        r"5: target.dialect.submit: \{n\} is no input; the places are",
    ),
    (
        INPUTS,
        "[{url: x, model: m, n: 1}, {url: x, model: m}]",
        "8: target.inputs: number 2 has no 'n', which dialect.submit has",
    ),
    (INPUTS, "[3]", "8: target.inputs.0.: must be a mapping"),
    (INPUTS, "no.csv", "8: target.inputs: cannot read no.csv: No such file"),
    (
        INPUTS,
        "urls.txt",
        "8: target.inputs: 'urls.txt': name a file that ends in .csv or .jsonl",
    ),
    ("headers: {", 'headers: {X-Id: "{key}", ', "7: target.headers.X-Id: has a place for a job's input"),
    (
        "workload:",
        "service: {delay: 1s}\nworkload:",
        "10: service: says how the simulator answers, which has",
    ),
    ("  limits", "  ca: no.pem\n  limits", "9: target.ca: there is no such file: .*no.pem"),
    ("  limits", "  ca: own.yaml\n  limits", "9: target.ca: own.yaml holds no certificate in PEM form"),
]


@pytest.mark.parametrize(("old", "new", "said"), FAULTS)
def test_a_fault_is_told_with_its_line_and_remedy(load: Load, old: str, new: str, said: str) -> None:
    """Before anything is sent; a secret's value and a user's password are shown nowhere."""
    inputs = new if old == INPUTS else INPUTS
    with pytest.raises(DocumentError, match=said) as caught:
        load(*([] if old == INPUTS else [(old, new)]), inputs=inputs)
    assert "me:pw" not in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "in.csv",
            "url,model,n\na,b\nc,d,e,f\n",
            "in.csv line 2: 2 cells below 3 names; in.csv line 3: 4",
        ),
        ("in.csv", "url,url\na,b\n", "in.csv: its first line must give every column a name of its own"),
        ("in.csv", "url,model,n\n", "in.csv holds no inputs; give at least one"),
        ("in.csv", 'url,model,n\na,"b,c\n', "cannot read in.csv: unexpected end of data"),
        (
            "in.jsonl",
            '{"url": 1}\n[1]\n{\n',
            "in.jsonl line 2: is no JSON object; in.jsonl line 3",
        ),
        ("in.jsonl", b"\xff\n", "cannot read in.jsonl: it is not UTF-8 text"),
    ],
)
def test_faults_of_a_file_of_inputs_name_its_lines(
    load: Load, tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    """All of them at the scenario's line that names the file."""
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DocumentError, match=f"8: target.inputs: {said}"):
        load(inputs=name)


@pytest.mark.parametrize("way", ["../secret.jsonl", "ABSOLUTE", "link.jsonl"])
@pytest.mark.parametrize("mark", ["run.json", "rows.journal"])
def test_the_scenario_of_a_run_reads_no_inputs_and_no_authority_elsewhere(
    load: Load, tmp_path: Path, way: str, mark: str
) -> None:
    """A run's folder may come from anybody: neither paths nor links lead out of it, nothing is quoted."""
    secret = tmp_path.parent / f"{tmp_path.name}-secret" / "secret.jsonl"
    secret.parent.mkdir()
    secret.write_text('{"url": "open-sesame", "model": "m", "n": 3}\n')
    (tmp_path / "link.jsonl").symlink_to(secret)
    named = str(secret) if way == "ABSOLUTE" else way.replace("..", f"../{secret.parent.name}")
    load(inputs=named)  # where it is no run's
    (tmp_path / mark).touch()
    with pytest.raises(DocumentError, match="is not in the folder of the run, and nothing else") as refused:
        load(("  limits", f"  ca: {named}\n  limits"), inputs=named)
    assert [str(each).count("not in the folder") for each in refused.value.diagnostics] == [1, 1]
    assert "open-sesame" not in str(refused.value)
    (tmp_path / "own.jsonl").write_text(secret.read_text())
    assert len(target_of(load(inputs="own.jsonl")).inputs) == 1
