"""A run keeps the traces it was run with: its folder can be moved, and leads to no other file."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import yaml

from harness._reports import make_report
from harness.measure import RunFolder
from harness.virtual import simulate
from scenarios import Scenario, load_scenario, portable
from scenarios.documents import DocumentError

SCENARIO = """\
name: kept
x-shared: &trace {type: trace, file: 'a dir/t.csv', column: s}  # with a remark
job:
  duration: {type: mixture, of: [{weight: 1, <<: *trace}, {weight: 1, type: trace, file: "b/t.csv"}]}
service: {delay: *trace}
workload: {lanes: 2, arrivals: {type: trace, file: b/../b/moments.jsonl}, jobs: 40}
settings: {every-1s: {curve: constant, initial: 1s}}
"""


@pytest.fixture
def original(tmp_path: Path) -> Scenario:
    """A scenario with traces elsewhere, two of them of one name."""
    home = tmp_path / "home"
    for name, text in {
        "a dir/t.csv": "id,s\n" + "".join(f"{i},{i % 7}.125\n" for i in range(40)),
        "b/t.csv": "seconds\n" + "".join(f"{i % 5 + 1}.25\n" for i in range(40)),
        "b/moments.jsonl": "".join(json.dumps({"at": 1_700_000_000.5 + i}) + "\n" for i in range(40)),
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    (home / "kept.yaml").write_text(SCENARIO)
    return load_scenario(home / "kept.yaml")


def run_of(scenario: Scenario, folder: Path) -> Path:
    done = simulate(scenario).run
    folder.mkdir()
    RunFolder(folder).write(done.info, done.visits, done.jobs, done.polls)
    return folder


def test_a_run_folder_reports_and_simulates_wherever_it_is(original: Scenario, tmp_path: Path) -> None:
    """With the first scenario gone, the moved folder has its limit, and its scenario gives the same jobs."""
    folder = run_of(original, tmp_path / "run")
    kept = sorted(path.name for path in (folder / "traces").iterdir())
    assert [name.rsplit("-", 1)[0] for name in kept] == ["moments", "t", "t"]
    jobs = [original.duration(key) for key in range(40)]
    shutil.rmtree(tmp_path / "home")
    moved = tmp_path / "elsewhere" / "run"
    shutil.move(folder, moved)
    notes: list[str] = []
    assert make_report(moved, on_note=notes.append).limit_curve
    assert notes == []
    again = load_scenario(moved / "scenario.yaml")
    assert [again.duration(key) for key in range(40)] == jobs
    assert [each.at for each in again.planned(0)] == [each.at for each in original.planned(0)]


def test_only_the_names_of_files_differ_in_the_text(original: Scenario, tmp_path: Path) -> None:
    """Remarks, anchors and all else stay as they were written; once more makes no other names."""
    text = (run_of(original, tmp_path / "run") / "scenario.yaml").read_text()
    assert text.count("traces/") == 3
    assert "*trace" in text
    assert "# with a remark" in text
    again = portable(load_scenario(tmp_path / "run" / "scenario.yaml"))
    assert again.text == text
    assert yaml.safe_load(text)["service"]["delay"]["column"] == "s"


def test_the_results_and_the_page_say_what_was_found(original: Scenario, tmp_path: Path) -> None:
    """The same in English and as data."""
    folder = run_of(original, tmp_path / "run")
    make_report(folder)
    results = json.loads((folder / "results.json").read_text())
    traces = {each["path"]: each for each in results["scenario"]["traces"]}
    assert list(traces) == ["job.duration.of[0]", "job.duration.of[1]", "service.delay", "workload.arrivals"]
    arrivals = traces["workload.arrivals"]
    assert (folder / arrivals["file"]).is_file()
    assert arrivals["form"] == "JSON lines"
    assert arrivals["columns"] == ["at"]
    assert arrivals["origin_s"] == 1_700_000_000.5
    assert (arrivals["rows"], arrivals["used"], arrivals["left_out"]) == (40, 40, {})
    assert traces["job.duration.of[0]"]["supports"] == [0.5, 0.9]
    assert results["scenario"]["sha256"] == portable(original).sha256
    page = (folder / "report.html").read_text()
    assert "The recorded data" in page
    assert "the first time is 1700000000.5 s (2023-11-14 22:13:20 UTC)" in page


def test_a_trace_that_has_changed_is_not_kept(
    original: Scenario, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is there when the run ends is not what was run; that is said, and the run is kept."""
    done = simulate(original).run
    (tmp_path / "home" / "b" / "t.csv").write_text("seconds\n1\n")
    (tmp_path / "run").mkdir()
    with caplog.at_level(logging.WARNING):
        RunFolder(tmp_path / "run").write(done.info, done.visits, done.jobs, done.polls)
    assert "t.csv has changed since it was read" in caplog.text
    assert len(list((tmp_path / "run" / "traces").iterdir())) == 2
    notes: list[str] = []
    make_report(tmp_path / "run", on_note=notes.append)
    assert "no theoretical limit in this report" in notes[0]


@pytest.mark.parametrize("way", ["../home/b/t.csv", "ABSOLUTE", "traces/link.csv"])
def test_the_scenario_of_a_run_reads_no_other_file(original: Scenario, tmp_path: Path, way: str) -> None:
    """A run's folder may come from anybody: neither paths nor links lead out of it, nothing is quoted."""
    folder = run_of(original, tmp_path / "run")
    secret = tmp_path / "home" / "b" / "t.csv"
    (folder / "traces" / "link.csv").symlink_to(secret)
    text = (folder / "scenario.yaml").read_text()
    kept = next(line for line in text.split('"') if line.startswith("traces/t-"))
    (folder / "scenario.yaml").write_text(text.replace(kept, str(secret) if way == "ABSOLUTE" else way))
    with pytest.raises(DocumentError, match="is not in the folder of the run, and nothing else is read"):
        load_scenario(folder / "scenario.yaml")


def test_a_scenario_without_traces_is_kept_byte_for_byte(tmp_path: Path) -> None:
    """Odd line ends and remarks included."""
    text = """\
name: plain # §
job: {duration: 4s}
workload: {lanes: 1, arrivals: {type: burst, size: 2}, jobs: 2}
settings: {a: {curve: constant, initial: 1s}}
"""
    (tmp_path / "plain.yaml").write_bytes(text.replace("\n", "\r\n").encode())
    folder = run_of(load_scenario(tmp_path / "plain.yaml"), tmp_path / "run")
    assert (folder / "scenario.yaml").read_bytes() == (tmp_path / "plain.yaml").read_bytes()
    assert not (folder / "traces").exists()
