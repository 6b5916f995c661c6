"""`python -m server` as a process of its own: how it starts, serves and stops, through real sockets."""

from __future__ import annotations

import errno
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from server import _command as command
from server import _serve
from server._options import overridden
from server.app import DEMO

CLEAN_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("BACKOFF_")}
PATIENCE = 20.0  # seconds for a slow machine; nothing below takes that long by itself


class Server(NamedTuple):
    process: subprocess.Popen[str]
    port: int
    said: list[str]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def get(self, path: str) -> tuple[http.client.HTTPResponse, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply, reply.read()


@contextmanager
def serving(*arguments: str, folder: Path | None = None, **environ: str) -> Iterator[Server]:
    """Run the command on a free port until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "--port", "0", "--exit-with-parent", *arguments],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder or Path(__file__).parent,  # where no config.yaml names a scenario
        env={**CLEAN_ENVIRONMENT, **environ},
    )
    assert process.stderr
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line.rstrip())
            if " on http://127.0.0.1:" in line:
                yield Server(process, int(line.split("127.0.0.1:")[1].split()[0]), said)
                break
        else:
            pytest.fail(f"the server never said that it serves: {said}")
    finally:
        process.kill()
        process.communicate()


def scenario(folder: Path, service: str, name: str = "here") -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(f"job: {{duration: 1h}}\nservice: {service}\n")
    return file


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: simulator\r\n\r\n".encode()


# --- serving --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    with serving("--duration", "1h") as server:
        yield server


def test_the_first_words(demo: Server) -> None:
    """The admin token where nobody chose one, then what is served and where."""
    token, ready = demo.said
    assert token.startswith("simulator: token for /admin/: ")
    assert ready == (
        f"simulator: serving the demo (jobs: fixed, 1 h) on http://127.0.0.1:{demo.port} (Ctrl-C stops)"
    )


def test_a_foreign_language_is_announced_with_the_clients_command(tmp_path: Path) -> None:
    """What it speaks, where, and the command that polls a job to its end; that command works as printed."""
    file = tmp_path / "azure.yaml"
    file.write_text("job: {duration: 100ms}\nservice: {dialect: azure}\n")
    with serving("--scenario", str(file), BACKOFF_ADMIN_TOKEN="t") as server:
        printed = f"python -m client --url http://127.0.0.1:{server.port} --dialect azure --submit"
        (language, _) = server.said
        assert language == (
            "simulator: it speaks azure: POST /operations, GET /operations/{id}; "
            f"poll a job with: {printed}"
        )
        done = subprocess.run(
            [sys.executable, *printed.split()[1:], "--initial", "0.1"],
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        assert "completed (" in done.stdout


def test_a_language_of_ones_own_is_announced_with_its_paths(tmp_path: Path) -> None:
    """The client's command has no name for it; where it is spoken can be told all the same."""
    file = tmp_path / "own.yaml"
    dialect = "{submit: {path: /v1/tasks}, status: {path: '/v1/task?id={id}'}}"
    file.write_text(f"job: {{duration: 1s}}\nservice: {{dialect: {dialect}}}\n")
    with serving("--scenario", str(file), BACKOFF_ADMIN_TOKEN="t") as server:
        assert server.said[0] == (
            "simulator: it speaks a dialect of its own: POST /v1/tasks, GET /v1/task?id={id}"
        )


def test_replies_carry_a_date(demo: Server) -> None:
    """Every reply says when it was made; a job without a body can be submitted through a real socket."""
    reply, _ = demo.get("/healthz")
    assert reply.headers["Date"].endswith("GMT")
    with closing(http.client.HTTPConnection("127.0.0.1", demo.port, timeout=PATIENCE)) as connection:
        connection.request("POST", "/jobs")
        submitted = connection.getresponse()
        assert (submitted.status, json.loads(submitted.read())["status"]) == (202, "pending")
        connection.request("GET", submitted.headers["Location"])
        assert json.loads(connection.getresponse().read())["status"] == "pending"


def test_a_kept_connection_is_as_fast_as_a_new_one(demo: Server) -> None:
    """The median reply on a kept connection takes under 20 ms; Nagle's algorithm alone would add some 40."""
    with closing(http.client.HTTPConnection("127.0.0.1", demo.port, timeout=PATIENCE)) as connection:
        times = []
        for _ in range(50):
            begun = time.perf_counter()
            connection.request("GET", "/status")
            connection.getresponse().read()
            times.append(time.perf_counter() - begun)
    assert statistics.median(times) < 0.020


def test_a_chunked_body_is_read_and_limited(demo: Server) -> None:
    """A body of undeclared length is understood, and refused when it is too large."""
    codes = []
    for body in (b'{"key": 3}', b" " * 70_000):
        with closing(http.client.HTTPConnection("127.0.0.1", demo.port, timeout=PATIENCE)) as connection:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/jobs", iter([body]), headers, encode_chunked=True)
            codes.append(connection.getresponse().status)
    assert codes == [202, 413]


def test_hundreds_of_delayed_replies_at_once(tmp_path: Path) -> None:
    """300 replies of 200 ms each take about as long as one, not a minute: they wait side by side."""
    with serving("--scenario", str(scenario(tmp_path, "{delay: 200ms}"))) as server:
        begun = time.perf_counter()
        sockets = [server.connect() for _ in range(300)]
        for sock in sockets:
            sock.sendall(request("/status"))
        heads = {sock.recv(15) for sock in sockets}
        elapsed = time.perf_counter() - begun
        for sock in sockets:
            sock.close()
    assert heads == {b"HTTP/1.1 200 OK"}
    assert 0.2 <= elapsed < 10


def test_a_reset_connection_is_really_reset(tmp_path: Path) -> None:
    """The client gets ECONNRESET without having read a byte, and the next connection is fine."""
    faults = "{faults: [{fault: CONNECTION_RESET_BY_PEER, rate: 1}]}"
    with serving("--scenario", str(scenario(tmp_path, faults))) as server:
        for _ in range(3):
            with server.connect() as sock:
                sock.sendall(request("/status"))
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
        _, metrics = server.get("/metrics")
        server.process.terminate()
        server.process.wait(PATIENCE)
        assert server.process.stderr
        assert server.process.stderr.read() == ""
    assert b'simulator_status_replies_total{code="reset"} 3.0' in metrics


# --- stopping -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_server_in_peace(tmp_path: Path, number: signal.Signals) -> None:
    """Exit status 0 at once and without a word, though a reply is pending for ten minutes."""
    with serving("--scenario", str(scenario(tmp_path, "{delay: 10m}"))) as server, server.connect() as sock:
        sock.sendall(request("/status"))
        while b"in_flight 1.0" not in server.get("/metrics")[1]:
            pass
        begun = time.perf_counter()
        server.process.send_signal(number)
        assert server.process.wait(PATIENCE) == 0
        assert time.perf_counter() - begun < 3  # a second, and some room for a slow machine
        assert server.process.stderr
        assert server.process.stderr.read() == ""


def test_the_end_of_stdin_stops_the_server() -> None:
    """With --exit-with-parent the server stops, with status 0, when its standard input ends; not before."""
    with serving() as server:
        assert server.process.stdin
        server.process.stdin.write("hello\n")
        server.process.stdin.flush()
        assert server.get("/healthz")[0].status == 200
        server.process.stdin.close()
        assert server.process.wait(PATIENCE) == 0
        server.process.stdin = None  # or communicate() would flush it once more


def test_no_server_outlives_a_killed_parent() -> None:
    """A parent that is killed without a chance to clean up takes the server with it."""
    code = """
import subprocess, sys, time
command = [sys.executable, "-m", "server", "--port", "0", "--exit-with-parent"]
child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
print(next(line for line in child.stderr if " on http://" in line), flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    port = int(parent.stdout.readline().split("127.0.0.1:")[1].split()[0])
    socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    parent.kill()
    parent.communicate()
    give_up = time.monotonic() + PATIENCE
    while not is_refused(port):
        assert time.monotonic() < give_up, "the server outlived its parent"


def is_refused(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


# --- which scenario -------------------------------------------------------------------------------------


def test_the_scenario_named_first_wins(tmp_path: Path) -> None:
    """The option before BACKOFF_SCENARIO before config.yaml before the demo."""
    scenario(tmp_path, "{delay: 0}", "by-option")
    scenario(tmp_path, "{delay: 0}", "by-environment")
    (tmp_path / "scenarios").mkdir()
    scenario(tmp_path / "scenarios", "{delay: 0}", "by-config")
    (tmp_path / "config.yaml").write_text("scenario: by-config\nreports: elsewhere\n")
    by_environment = {"BACKOFF_SCENARIO": "by-environment.yaml"}
    with serving("--scenario", "by-option.yaml", folder=tmp_path, **by_environment) as server:
        assert "serving by-option.yaml (jobs: fixed, 1 h)" in server.said[-1]
    with serving(folder=tmp_path, **by_environment) as server:
        assert "serving by-environment.yaml" in server.said[-1]
    with serving(folder=tmp_path, BACKOFF_SCENARIO="", BACKOFF_ADMIN_TOKEN="chosen") as server:
        (ready,) = server.said
        assert f"serving {Path('scenarios/by-config.yaml')} " in ready


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status and the words of a command that does not get as far as serving."""
    with pytest.raises(SystemExit) as ended:
        sys.exit(command.main(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no scenario in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BACKOFF_SCENARIO", raising=False)
    return tmp_path


def test_every_fault_of_a_scenario_is_printed(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, with file and line, and exit status 2; what is not for the server is not judged."""
    (nowhere / "bad.yaml").write_text(
        "name: 7\njob:\n  duraton: 4s\n  error_rate: 2\nseed: x\nsettings: no\n"
    )
    status, words = run(["--scenario", "bad.yaml"], capsys)
    assert status == 2
    lines = words.splitlines()
    assert [line.split(": ")[:2] for line in lines if "duration" not in line.split(": ")[1]] == [
        ["bad.yaml:3", "job.duraton"],
        ["bad.yaml:4", "job.error_rate"],
        ["bad.yaml:5", "seed"],
    ]


def test_an_unknown_scenario_names_the_known_ones(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bare name that is in no file of scenarios/ is answered with the names that are."""
    (nowhere / "scenarios").mkdir()
    scenario(nowhere / "scenarios", "{}", "one")
    scenario(nowhere / "scenarios", "{}", "two")
    remedy = "there is no such scenario; name a file, or one of one, two, long-tail, metastable"
    for name in ("xyz", str(Path("scenarios/xyz.yaml"))):
        status, words = run(["--scenario", name], capsys)
        assert status == 2
        assert words.startswith(f"{name}:1: {remedy}")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("7", "must be text, not 7; put it in quotes"),
        ("''", "must not be empty"),
        ("[a]", "must be text, not a list"),
    ],
)
def test_a_faulty_config_is_told(
    nowhere: Path, capsys: pytest.CaptureFixture[str], value: str, fault: str
) -> None:
    """A scenario in config.yaml that is no name is an error with its line."""
    (nowhere / "config.yaml").write_text(f"reports: x\nscenario: {value}\n")
    status, words = run([], capsys)
    assert status == 2
    assert words == f"config.yaml:2: scenario: {fault}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "65536"], "not a whole number from 0 to 65535"),
        (["--port", "-1"], "not a whole number"),
        (["--port", "http"], "not a whole number"),
        (["--seed", "1.5"], "not a whole number"),
        (["--seed", str(2**64)], "not a whole number"),
        (["--error-rate", "1.5"], "not between 0 and 1"),
        (["--error-rate", "nan"], "not a number"),
        (["--duration", "-4"], "zero or more"),
        (["--duration", "4 parsecs"], "250ms"),
        (["--ready-fd", "987"], "987 is no open file"),
        (["--speed", "9"], "--speed"),
    ],
)
@pytest.mark.usefixtures("nowhere")
def test_bad_options_are_explained(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """Exit status 2, and a line that says what would be right."""
    status, said = run(arguments, capsys)
    assert status == 2
    assert words in said.splitlines()[-1]


def test_options_override_the_scenario() -> None:
    """--duration, --error-rate and --seed take the place of what the scenario says."""
    simulation = overridden(DEMO, duration=0.25, error_rate=0.5, seed=7)
    assert (simulation.job.duration.mean(), simulation.job.error_rate, simulation.seed) == (0.25, 0.5, 7)
    assert overridden(simulation, duration=None, error_rate=None, seed=None) == simulation
    with serving("--duration", "250ms", "--error-rate", "0.5", "--seed", "7") as server:
        assert json.loads(server.get("/healthz")[1])["simulation"] == simulation.fingerprint


# --- the address ----------------------------------------------------------------------------------------


def test_config_yaml_says_where_and_the_client_is_told(tmp_path: Path) -> None:
    """The address in config.yaml counts unless the command line differs; a client's command is printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "config.yaml").write_text(f"scenario: outage\nsimulator: {{port: {port}}}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "server"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**CLEAN_ENVIRONMENT, "BACKOFF_ADMIN_TOKEN": "chosen"},
    )
    try:
        assert process.stderr
        where, ready = process.stderr.readline(), process.stderr.readline()
    finally:
        process.kill()
        process.communicate()
    url = f"http://127.0.0.1:{port}"
    assert where == f"simulator: config.yaml says where; poll it with: python -m client --url {url}\n"
    assert ready.startswith("simulator: serving ")
    assert "outage.yaml (jobs: " in ready
    assert f" on {url} " in ready
    with serving(folder=tmp_path) as server:
        assert server.port != port


def test_the_ready_pipe_tells_where_and_who(tmp_path: Path) -> None:
    """--ready-fd gets one line of JSON, and its end, when the server listens."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "--port", "0", "--ready-fd", str(writing)],
        stderr=subprocess.DEVNULL,
        pass_fds=[writing],
        cwd=tmp_path,
        env=CLEAN_ENVIRONMENT,
    )
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as pipe:
            told = json.loads(pipe.read())
        assert told["pid"] == process.pid
        host, port = told["url"].removeprefix("http://").split(":")
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("nowhere")
def test_a_port_in_use_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1 and one line with the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, words = run(["--port", str(port)], capsys)
    assert status == 1
    assert words == (
        f"simulator: port {port} of 127.0.0.1 is in use; "
        "choose another with --port, or any free one with --port 0\n"
    )


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("host", "words"),
    [("192.0.2.1", "this machine has no address 192.0.2.1"), ("x" * 300, "there is no host")],
)
def test_a_bad_host_is_told(capsys: pytest.CaptureFixture[str], host: str, words: str) -> None:
    """Exit status 1 and one line with the remedy."""
    status, said = run(["--host", host, "--port", "0"], capsys)
    assert status == 1
    assert words in said
    assert "--host 127.0.0.1" in said


def test_a_forbidden_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system permits no low port, the remedy is a higher one; other errors keep their words."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_serve, "listening", refuse)
    with pytest.raises(
        _serve.CannotListenError, match="not permitted to listen on port 80; choose one above"
    ):
        _serve.open_listeners("127.0.0.1", 80)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("host", "url", "warned"),
    [
        ("127.0.0.1", "http://127.0.0.1:", False),
        ("localhost", "http://127.0.0.1:", False),
        ("0.0.0.0", "http://0.0.0.0:", True),  # noqa: S104 - this is the case that is warned of
    ],
)
def test_other_machines_are_let_in_only_with_a_secret_and_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, host: str, url: str, warned: bool
) -> None:
    """An address that others can reach is served with a warning, not with a key that they can derive."""

    def serve(_app: object, listener: socket.socket, *, ready: object, **_rest: object) -> None:
        listener.close()
        assert callable(ready)
        ready()

    monkeypatch.setattr(_serve, "serve", serve)
    monkeypatch.delenv("BACKOFF_ADMIN_TOKEN", raising=False)
    if warned:
        status, words = run(["--host", host, "--port", "0"], capsys)
        assert status == 2
        assert "set BACKOFF_SECRET to a secret of your own, or use --host 127.0.0.1" in words
        monkeypatch.setenv("BACKOFF_SECRET", "of my own")
    status, words = run(["--host", host, "--port", "0"], capsys)
    assert status == 0
    assert ("warning" in words) == warned
    assert f" on {url}" in words
