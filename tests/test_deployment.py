"""One rule for which scenario: the harness, the server and Locust give the same answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import server._serve
from harness._cli import main as harness_command
from harness.live._arguments import options_asked_for
from scenarios import resolve
from server._command import main as server_command

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "scenarios" / "outage.yaml"
Answer = tuple[int, str]

CASES = {
    # option, environment, config.yaml -> which file (by its scenario's name), or part of the fault
    "an option's bare name comes first": ("mine", "other", "other", "mine"),
    "so does its path": ("scenarios/mine.yaml", "other", "other", "mine"),
    "then the environment's bare name": (None, "mine", "other", "mine"),
    "or path": (None, "scenarios/mine.yaml", "other", "mine"),
    "then config.yaml's bare name": (None, None, "mine", "mine"),
    "or path, from its folder": (None, None, "scenarios/mine.yaml", "mine"),
    "empty is as good as unset": ("", "", "mine", "mine"),
    "the project's are known by name anywhere": ("outage", None, "mine", "outage"),
    "also to config.yaml": (None, None, "outage", "outage"),
    "a missing option": ("mien", "mine", "mine", "mien:1: there is no such scenario; did you mean 'mine'?"),
    "a missing path": (
        "no/mien.yaml",
        None,
        "mine",
        "no/mien.yaml:1: there is no such scenario; did you mean",
    ),
    "a missing one in the environment": (None, "mien", "mine", "mien:1: there is no such scenario"),
    "a missing one in config.yaml": (None, None, "mien", "config.yaml:1: scenario: there is no such file"),
    "a faulty config.yaml": ("mine", None, "7", "config.yaml:1: scenario: must be text, not 7"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two scenarios of its own, one of which nobody should choose by mistake."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    for name in ("mine", "other"):
        text = SHIPPED.read_text().replace("name: outage", f"name: {name}").replace("seed: 42", "seed: 43")
        (tmp_path / "scenarios" / f"{name}.yaml").write_text(text)
    return tmp_path


def as_option(name: str | None, flag: str) -> list[str]:
    return [] if name is None else [flag, name]


def by_harness(
    option: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Answer:
    """What `python -m harness run` would hand to Locust."""
    del capsys
    started: list[list[str]] = []

    def execve(_path: str, command: list[str], _environ: object) -> None:
        started.append(command)

    monkeypatch.setattr("os.execve", execve)
    done = CliRunner().invoke(harness_command, ["run", *([] if option is None else [option])])
    if not started:
        return done.exit_code, done.stderr
    (command,) = started
    return 0, resolve(command[command.index("--scenario") + 1]).scenario.name


def by_locust(
    option: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Answer:
    """What `locust -f harness` builds its User classes from."""
    del monkeypatch
    try:
        return 0, options_asked_for(["--headless", *as_option(option, "--scenario")]).scenario.name
    except SystemExit as ended:
        return int(str(ended.code)), capsys.readouterr().err


def by_server(
    option: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Answer:
    """What `python -m server` would serve."""

    def serve(_app: object, listener: object, *, ready: Callable[[], None], **_rest: object) -> None:
        listener.close()  # type: ignore[attr-defined]
        ready()

    monkeypatch.setattr(server._serve, "serve", serve)
    status = server_command(["--port", "0", *as_option(option, "--scenario")])
    words = capsys.readouterr().err
    served = [
        line.split("serving ")[1].split(" (jobs")[0] for line in words.splitlines() if "serving" in line
    ]
    return status, Path(served[0]).stem if served else words


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", [by_harness, by_locust, by_server])
@pytest.mark.parametrize("case", CASES)
def test_every_command_chooses_the_same_scenario(
    command: Callable[..., Answer],
    case: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Command line, then environment, then config.yaml; bare names and paths alike; one fault, status 2."""
    option, environment, config, expected = CASES[case]
    Path("config.yaml").write_text(f"scenario: {config}\n")
    if environment is None:
        monkeypatch.delenv("BACKOFF_SCENARIO", raising=False)
    else:
        monkeypatch.setenv("BACKOFF_SCENARIO", environment)
    status, answer = command(option, monkeypatch, capsys)
    if ":" in expected:
        assert status == 2
        assert answer.startswith(expected)
    else:
        assert (status, answer) == (0, expected)


def test_without_a_config_the_harness_runs_the_projects_experiment_and_the_server_its_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what stands behind config.yaml differs: the harness needs a whole experiment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BACKOFF_SCENARIO", raising=False)
    assert by_harness(None, monkeypatch, capsys) == (0, "video-translation")
    assert by_locust(None, monkeypatch, capsys) == (0, "video-translation")
    assert by_server(None, monkeypatch, capsys) == (0, "the demo")


@pytest.mark.parametrize("text", ["database: {url: x}\n", "version: 2\nservices: []\n"])
def test_the_config_of_another_program_is_left_alone(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A config.yaml without a key of ours, or a slip of one, stands behind no command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BACKOFF_SCENARIO", raising=False)
    Path("config.yaml").write_text(text)
    assert by_harness(None, monkeypatch, capsys) == (0, "video-translation")
    assert by_locust(None, monkeypatch, capsys) == (0, "video-translation")
    assert by_server(None, monkeypatch, capsys) == (0, "the demo")


def test_a_slip_in_our_own_config_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt key is not taken for another program's."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("scenari: outage\n")
    for command in (by_harness, by_locust, by_server):
        status, words = command("outage", monkeypatch, capsys)
        assert status == 2
        assert words.startswith("config.yaml:1: scenari: unknown key; did you mean 'scenario'?")


def test_a_config_need_not_name_a_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may say only where; what runs is then named elsewhere, or is the server's demo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BACKOFF_SCENARIO", raising=False)
    Path("config.yaml").write_text("simulator: {port: 0}\n")
    for command in (by_harness, by_locust, by_server):
        assert command("outage", monkeypatch, capsys) == (0, "outage")
    assert by_server(None, monkeypatch, capsys) == (0, "the demo")
    for command in (by_harness, by_locust):
        status, words = command(None, monkeypatch, capsys)
        assert status == 2
        assert words.startswith("config.yaml:1: scenario: no scenario is named")
