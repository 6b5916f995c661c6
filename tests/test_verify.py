"""`tune --verify`: what is run live to hold a plan against."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
import yaml
from click.testing import CliRunner

from harness import _plans
from harness._cli import main
from scenarios import load_scenario

SCENARIO = """
name: mine
job: {duration: 2s}
target:
  base_url: https://jobs.example.com/v1
  ca: ca.pem
  inputs: inputs.csv
  dialect:
    submit: {path: /jobs, json: {video: "{url}"}}
    status: {path: "/jobs/{id}", state: state, pending: [queued], completed: [done], error: [failed]}
  headers: {Authorization: "Bearer ${API_TOKEN}"}
  limits: {jobs: 10, rate: 5, in_flight: 5}
workload: {lanes: 1, arrivals: {type: constant, rate: 1}, jobs: 2}
settings: {eager: {curve: constant, initial: 100ms}, calm: {curve: constant, initial: 5s}}
baseline: calm
"""


def test_a_plan_for_a_target_is_verified_on_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live run polls the same service within the same limits; files are found, secrets stay names."""
    monkeypatch.setenv("API_TOKEN", "hush")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "inputs.csv").write_text("url\na.mp4\nb.mp4\n")
    (tmp_path / "mine.yaml").write_text(SCENARIO)
    scenario = load_scenario(tmp_path / "mine.yaml")
    recommendation = SimpleNamespace(setting="best", yaml="best: {curve: constant, initial: 1s}")
    plan: Any = SimpleNamespace(recommendation=recommendation)

    text = _plans._verification(scenario, plan, "calm")

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "verify.yaml").write_text(text)
    verified = load_scenario(tmp_path / "elsewhere" / "verify.yaml")
    assert verified.target == scenario.target
    assert list(verified.settings) == ["recommended", "calm"]
    assert "hush" not in text
    without = yaml.safe_load(SCENARIO)
    del without["target"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(without))
    assert "target" not in yaml.safe_load(
        _plans._verification(load_scenario(tmp_path / "mine.yaml"), plan, "calm")
    )


def test_leave_to_poll_another_machine_is_given_to_the_live_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """--allow-host and --yes of `tune` are those of `run`."""
    heard: list[Any] = []

    def ask(*_: object) -> None:
        return None

    def verify(_options: object, _plan: object, _port: object, hosts: object, *, agreed: bool) -> Any:
        heard.append((hosts, agreed))
        return SimpleNamespace(status=0)

    monkeypatch.setattr(_plans, "ask", ask)
    monkeypatch.setattr(_plans, "verify", verify)
    monkeypatch.setattr(_plans, "print_verification", ask)
    monkeypatch.setattr("harness._cli._print_plan", ask)
    arguments = ["tune", "outage", "--verify", "--allow-host", "jobs.example.com", "--yes"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert heard == [(("jobs.example.com",), True)]
