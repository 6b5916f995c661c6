"""The workflow of docs/ci.md: it is one, and its steps do what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "ci.md"
TINY = """\
name: tiny
job: {duration: {type: uniform, lower: 1s, upper: 3s}}
workload: {lanes: 4, arrivals: {type: constant, rate: 10}, jobs: 40}
settings:
  a: {curve: constant, initial: 1s, jitter: equal}
"""
# What GitHub documents of a workflow, as far as ours goes.
STEP = {
    "type": "object",
    "additionalProperties": False,
    "properties": {key: {} for key in ("name", "if", "env", "uses", "with", "run", "continue-on-error")},
    "oneOf": [{"required": ["uses"]}, {"required": ["run"]}],
}
JOB = {
    "type": "object",
    "required": ["runs-on", "steps"],
    "properties": {"steps": {"type": "array", "items": STEP}},
}
WORKFLOW = {
    "type": "object",
    "required": ["name", "on", "jobs"],
    "properties": {"jobs": {"type": "object", "additionalProperties": JOB}},
}


def workflow() -> dict[str, Any]:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - texts only: `on` is no truth value here
    assert isinstance(document, dict)
    return document


def test_the_page_holds_a_workflow() -> None:
    """YAML of the form that GitHub takes; actions are named with a version."""
    document = workflow()
    jsonschema.validate(document, WORKFLOW)
    for step in document["jobs"]["compare"]["steps"]:
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1"))


def test_a_comment_is_written_only_where_there_is_a_table(tmp_path: Path) -> None:
    """Where runs cannot be compared there is none; who may not comment does not fail; objectives last."""
    steps = {step.get("name", ""): step for step in workflow()["jobs"]["compare"]["steps"]}
    assert list(steps)[-1] == "Objectives"
    assert [name for name, each in steps.items() if "--require-objectives" in each.get("run", "")] == [
        "Objectives"
    ]
    comment = steps["Comment"]
    assert comment["continue-on-error"] == "true"
    (tmp_path / "gh").write_text("#!/bin/sh\ntouch posted\n")
    (tmp_path / "gh").chmod(0o755)
    run = comment["run"].replace("${{ github.event.number }}", "1")
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    for text in ("", "table"):
        (tmp_path / "comparison.md").write_text(text)
        subprocess.run(["bash", "-e", "-c", run], cwd=tmp_path, env=environment, check=True)
        assert (tmp_path / "posted").exists() == bool(text)


@pytest.mark.slow
def test_its_steps_tell_a_worse_setting_from_the_baseline(tmp_path: Path) -> None:
    """As they are written, on a small scenario; the base branch polled faster: the job fails, and says it."""
    job = workflow()["jobs"]["compare"]
    steps = {step["name"]: step.get("run", "") for step in job["steps"] if "name" in step}
    (tmp_path / "scenario.yaml").write_text(TINY.replace("initial: 1s", "initial: 2s"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    git = f"#!/bin/sh\ntest $2 = origin/main:scenario.yaml && cat <<'E'\n{TINY}E\n"
    (tmp_path / "bin" / "git").write_text(git)
    (tmp_path / "bin" / "git").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SCENARIO": "scenario.yaml",
        "GITHUB_BASE_REF": "main",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    script = "\n".join(steps[name].replace("--jobs 2000", "") for name in ("Baseline", "Candidate"))
    for text, status in ((script, 0), (steps["Compare"], 1)):
        command = ["bash", "-e", "-c", text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
    assert "worse: <code>a</code>" in (tmp_path / "summary.md").read_text()
    cases = ET.parse(tmp_path / "comparison.xml").iter("testcase")  # noqa: S314 - ours
    assert any(case.find("failure") is not None for case in cases)
