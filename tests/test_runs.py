"""The runs in a reports folder: their list, the names that stand for them, and the page of their trends."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from browser_parts import Open, overflow, unfit
from click.testing import CliRunner, Result
from measure_records import info_of, job, polls_of, run_of, visits_of

from harness._cli import main
from harness._refusal import FAILED, Refusal
from harness._runs import run_called, runs_in
from harness._runs_page import groups_of, trend, write_index
from harness.measure import COMPARISON_FORMATS, RunFolder, ScenarioInfo, analyse, compare_runs, write_text

SAMPLE = ScenarioInfo("sample", "name: sample\n", "Which one?")
HOSTILE = "<img src=x onerror=alert(1)>"


def keep(folder: Path, hour: int, lag: float = 0.5, text: str = "", report: bool = True) -> Path:
    """A run of two settings, started at that hour; its lags are to be told from others."""
    folder.mkdir(parents=True)
    jobs = [
        job(name, key, lag=lag * share * (1 + key % 7 / 50))
        for name, share in (("a", 1), ("b", 2))
        for key in range(40)
    ]
    scenario = ScenarioInfo("sample", f"name: sample\n{text}", "Which one?")
    info = info_of(jobs, started_at=f"2026-01-02T{hour:02}:04:05+00:00", scenario=scenario)
    RunFolder(folder).write(info, visits_of(jobs), jobs, polls_of(jobs))
    if report:
        results = analyse(run_of(jobs, started_at=info.started_at, scenario=scenario))
        write_text(folder / "results.json", json.dumps(results.to_json()))
        (folder / "report.html").touch()
    return folder


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, the second of another text, and three folders that are none or damaged."""
    root = tmp_path_factory.mktemp("runs") / "reports"
    keep(root / "third", 5, lag=0.75)
    keep(root / f"second {HOSTILE} %2e#?", 4, lag=0.6, text="seed: 1\n")
    keep(root / "first", 3)
    keep(root / "torn", 2)
    (root / "torn" / "results.json").write_text('{"schema_version": 1, ')
    keep(root / "unreported", 1, report=False)
    (root / "no run").mkdir()
    (root / ".hidden").mkdir()
    (root / "a file").touch()
    return root


def listed(reports: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["runs", "--reports", str(reports), *options], catch_exceptions=False)


@pytest.fixture
def at_home(reports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory whose config.yaml names the folder, so that its runs have names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(f"reports: {json.dumps(str(reports))}\nscenario: gone.yaml\n")


@pytest.mark.usefixtures("at_home")
def test_runs_are_listed_newest_first_and_damage_stops_nothing(reports: Path) -> None:
    """Each run with scenario, start, engine, verdict and trust; each folder that is none with the reason."""
    done = listed(reports)
    assert done.exit_code == 0
    assert re.findall(r"^(latest\S*) +(\w+)", done.stdout, re.MULTILINE) == [
        ("latest", "third"), ("latest~1", "second"), ("latest~2", "first"), ("latest~3", "torn"),
        ("latest~4", "unreported"),
    ]  # fmt: skip
    said = " ".join(done.stdout.split())
    assert "third sample, live, 2026-01-02 05:04 UTC: a, by polls times lag" in said
    assert "checks" in said
    assert "not JSON" in said
    assert "no report of it yet; make one: python -m harness report latest~4" in said
    assert "no run no run.json in it" in said
    assert "hidden" not in said
    assert done.stdout.endswith(f"page: {reports / 'index.html'}\n")


def test_runs_of_another_folder_have_no_names(
    reports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``latest`` would be another run: the remedy names the folder, and nothing stands before the runs."""
    monkeypatch.chdir(tmp_path)
    done = listed(reports)
    assert done.exit_code == 0
    assert "latest" not in done.stdout
    assert "\nthird\n  sample, live" in done.stdout
    said = re.sub(r"\s", "", done.stdout)
    assert re.sub(r"\s", "", f"python -m harness report {reports / 'unreported'}") in said
    assert {each["run"] for each in json.loads(listed(reports, "--json").stdout)} == {None}


@pytest.mark.usefixtures("at_home")
def test_the_list_is_json_too(reports: Path) -> None:
    """The same data, nothing else on standard output."""
    found = {each["run"] or "none": each for each in json.loads(listed(reports, "--json").stdout)}
    assert found["latest"]["setting"] == "a"
    assert found["latest"]["trust"] in ("pass", "warn")
    assert (found["latest~3"]["fault"] or "").count("not JSON") == 1
    assert found["none"]["folder"] == str(reports / "no run")


def test_a_record_that_is_no_file_and_a_name_that_is_no_text_have_their_lines(tmp_path: Path) -> None:
    """A pipe that nobody writes to, a device without an end, bytes that are not UTF-8: all are listed."""
    reports = tmp_path / os.fsdecode(b"reports \xff")
    reports.mkdir()
    strange = keep(tmp_path / "run", 3).rename(reports / os.fsdecode(b"n\xffme"))
    for name in ("pipe", "device", "large"):
        (reports / name).mkdir()
    os.mkfifo(reports / "pipe" / "run.json")
    (reports / "device" / "run.json").symlink_to("/dev/zero")
    with (reports / "large" / "run.json").open("wb") as stream:
        stream.truncate(1 << 42)
    done = listed(reports)
    assert done.exit_code == 0
    assert [name for name in ("pipe", "device", "large", r"n\udcffme") if name not in done.stdout] == []
    assert done.stdout.isprintable() or "\udcff" not in done.stdout
    assert 'href="n%FFme/report.html"' in (reports / "index.html").read_text()
    assert runs_in(reports)[-1].folder == strange


def test_a_reports_folder_without_runs_is_no_fault(tmp_path: Path) -> None:
    """Neither is one that is not there, and nothing is made of it."""
    done = listed(tmp_path / "nothing")
    assert (done.exit_code, "no runs in" in done.stdout) == (0, True)
    assert listed(tmp_path / "nothing", "--json").stdout == "[]\n"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.usefixtures("at_home")
def test_latest_is_the_newest_run_and_a_folder_of_that_name_wins(reports: Path, tmp_path: Path) -> None:
    """Wherever a RUN is asked for; what is no number of steps back is a path as any other."""
    assert run_called("latest") == reports / "third"
    assert run_called("latest~2") == reports / "first"
    assert run_called("latest~") == Path("latest~")
    with pytest.raises(Refusal, match="holds 5 runs") as refused:
        run_called("latest~5")
    assert refused.value.status == 2
    compared = CliRunner().invoke(main, ["compare", "latest~2", "latest", "--force"])
    assert compared.stdout.startswith("third against first, job by job\n")
    for command in (["plan", "outage", "--run"], ["report"], ["new", "--from"]):
        refused_too = CliRunner().invoke(main, [*command, "latest~9"])
        assert (refused_too.exit_code, "holds 5 runs" in refused_too.stderr) == (2, True)
    shutil.copytree(reports / "first", tmp_path / "latest")
    assert run_called("latest") == Path("latest")


def test_runs_of_one_second_are_told_apart_by_their_number(tmp_path: Path) -> None:
    """As their folders are: the tenth is newer than the second."""
    for number in ("", "-2", "-10"):
        keep(tmp_path / f"sample-20260102T030405Z{number}", 3, report=False)
    names = [run.folder.name.rpartition("Z")[2] for run in runs_in(tmp_path)]
    assert names == ["-10", "-2", ""]


def test_trends_start_at_nothing_and_end_with_the_latest_run() -> None:
    """From 0 up to the largest value: what does not change is level, whatever its digits do."""
    found = trend([2.0, None, 1.0], edits=[2])
    assert found is not None
    assert found.points == "4,4 156,18"  # 28 units up for 2.0, 14 for 1.0
    assert (found.last, found.edits, found.now, found.change) == ((156, 18), (118,), "1.00", "-50 %")
    assert found.words == "over 3 runs: 2.00, –, 1.00"
    assert trend([None]) is None
    assert trend([2.0, None]) is None  # there is no "now"
    level = trend([0.0, 0.0])
    assert level is not None
    assert (level.points, level.change) == ("4,32 156,32", "")


def test_a_scenarios_runs_have_one_trend_per_setting(reports: Path) -> None:
    """Over complete runs that can be trusted, oldest first, with the places where the scenario was edited."""
    (group,) = groups_of(runs_in(reports))
    assert (group.scenario, group.engine, group.counted) == ("sample", "live", 3)
    assert [run.folder.name.split()[0] for run in group.runs] == ["third", "second", "first"]
    lag = group.trends["b"][1]
    assert lag is not None
    assert lag.change == "+50 %"
    assert len(lag.edits) == 2


def test_a_setting_that_the_newest_run_lacks_has_no_trend(tmp_path: Path) -> None:
    """What is called "now" is of the newest run that can be trusted."""
    keep(tmp_path / "newer", 4)
    old = [job("gone", key, lag=0.5 * (1 + key % 7 / 50)) for key in range(40)]
    (tmp_path / "older").mkdir()
    RunFolder(tmp_path / "older").write(info_of(old), visits_of(old), old, polls_of(old))
    results = analyse(run_of(old, started_at="2026-01-02T03:04:05+00:00", scenario=SAMPLE))
    write_text(tmp_path / "older" / "results.json", json.dumps(results.to_json()))
    (group,) = groups_of(runs_in(tmp_path))
    assert (group.counted, list(group.trends)) == (2, ["a", "b"])


def test_the_page_is_put_there_at_once_or_not_at_all(tmp_path: Path) -> None:
    """Where it cannot be, that is said, and nothing half-written is left."""
    (tmp_path / "index.html").mkdir()
    with pytest.raises(Refusal, match=r"cannot write .*index\.html") as refused:
        write_index(tmp_path, [])
    assert refused.value.status == FAILED
    assert [each.name for each in tmp_path.iterdir()] == ["index.html"]


def small_pages(reports: Path, tmp_path: Path) -> Sequence[Path]:
    """The page of runs, and that of a comparison."""
    compared = tmp_path / "compared.html"
    comparison = compare_runs(reports / "first", reports / "third", force=True)
    compared.write_text(COMPARISON_FORMATS["html"](comparison))
    return write_index(reports, runs_in(reports)), compared


def test_small_pages_hold_in_a_browser(reports: Path, tmp_path: Path, open_page: Open) -> None:
    """From disk, light or dark, wide or narrow: nothing for axe, no request, links that lead there."""
    index, compared = small_pages(reports, tmp_path)
    for page, width, dark in ((compared, 1280, False), (index, 400, True)):
        opened = open_page(page, width=width, dark=dark)
        assert unfit(opened.page) == []
        assert overflow(opened.page) == 0
        assert opened.errors == []
        assert opened.requests == [page.resolve().as_uri()]
    assert opened.page.locator("img").count() == 0
    assert opened.page.locator("svg.trend polyline").count() == 4
    opened.page.get_by_role("link", name=HOSTILE).click()
    assert opened.page.url == (reports / f"second {HOSTILE} %2e#?" / "report.html").resolve().as_uri()
