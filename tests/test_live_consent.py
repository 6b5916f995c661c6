"""The user's leave: which hosts may be loaded, what is said before, and what a question needs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness._refusal import INTERRUPTED, UNUSABLE, Refusal
from harness.live import _consent
from harness.live._consent import Consent, announce, check_target, host_of
from scenarios import Scenario, load_scenario

SCENARIO = """\
name: own
target:
  base_url: URL
  dialect: {submit: {path: /tasks}, status: {path: "/tasks/{id}"}}
  headers: {Authorization: "Bearer ${OWN_API_KEY}"}
  limits: {jobs: 8, rate: 3, in_flight: 5}
workload: {lanes: 4, arrivals: {type: burst, size: 4}, jobs: 4}
settings:
  quick: {curve: constant, initial: 1s}
  slow: {curve: constant, initial: 5s}
"""
SECRET = "open-sesame-1001"
TYPED = ("python", "-m", "harness", "run", "own one")
Make = Callable[..., Scenario]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("OWN_API_KEY", SECRET)

    def make(url: str = "http://127.0.0.1:1", jobs: int = 8) -> Scenario:
        text = SCENARIO.replace("URL", url).replace("jobs: 8", f"jobs: {jobs}")
        (tmp_path / "own.yaml").write_text(text)
        return load_scenario(tmp_path / "own.yaml")

    return make


def consent(*hosts: str, yes: bool = False) -> Consent:
    return Consent(frozenset(map(host_of, hosts)), yes, TYPED)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1", "http://127.8.8.8", "http://[::1]:1", "http://localhost", "http://LOCALHOST./x"],
)
def test_this_machine_needs_no_leave(make: Make, url: str) -> None:
    """Its loopback numbers and localhost, however they are spelled."""
    check_target(make(url), consent(), None, 1)


@pytest.mark.parametrize(
    "url",
    [
        "https://staging.example.com",
        "http://10.0.0.1",
        "http://0.0.0.0",  # leads here on some systems, and elsewhere on others
        "http://127.1",
        "http://2130706433",
        "http://127.0.0.1.nip.io",
        "http://localhost.example.com",
        "http://[::ffff:10.0.0.1]",
    ],
)
def test_any_other_host_is_refused_with_the_command_to_type(make: Make, url: str) -> None:
    """Names are not looked up, and spellings that merely look like this machine are not it."""
    scenario = make(url)
    with pytest.raises(Refusal) as refused:
        check_target(scenario, consent("other.example"), None, 1)
    assert refused.value.status == UNUSABLE
    host = scenario.target.host if scenario.target else ""
    assert f"type: python -m harness run 'own one' --allow-host {host}" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://staging.example.com:8443/v1", "Staging.Example.COM."),
        ("http://10.0.0.1", "10.0.0.1"),
        ("http://[2001:db8:0::1]", "[2001:db8::1]"),
    ],
)
def test_a_host_is_allowed_by_its_name_however_it_is_spelled(make: Make, url: str, allowed: str) -> None:
    """Case, a dot at the end, brackets and zeros make no other host of it; its port does not count."""
    check_target(make(url), consent(allowed), None, 1)


def test_localhost_that_leads_elsewhere_is_another_machine(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One address that is not this machine's is enough."""
    found = [(2, 1, 6, "", ("127.0.0.1", 0)), (2, 1, 6, "", ("10.0.0.7", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
    with pytest.raises(Refusal, match="--allow-host localhost"):
        check_target(make("http://localhost"), consent(), None, 1)


def test_a_host_that_was_allowed_by_a_slip_is_named(make: Make) -> None:
    """Beside the one that the target is on."""
    allowed = consent("staging.exmaple.com", "b.example")
    with pytest.raises(Refusal) as refused:
        check_target(make("https://staging.example.com"), allowed, None, 1)
    said = "'staging.example.com', and --allow-host names 'b.example' and 'staging.exmaple.com': if you may"
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["", "http://a.example", "a.example:80", "me@a.example", "a b", "a/b"])
def test_what_is_no_host_alone_is_refused(text: str) -> None:
    """An address, a port or a user would never match, and look as if it did."""
    with pytest.raises(ValueError, match="is not a host; give its name or number alone"):
        host_of(text)


def test_more_than_the_limits_allow_is_refused_beside_other_faults(make: Make) -> None:
    """Jobs of all visits, and processes that would each get less than a request per second; all at once."""
    scenario = make("https://staging.example.com", jobs=7)
    with pytest.raises(Refusal) as refused:
        check_target(scenario, consent(), None, 4)
    jobs, processes, host = str(refused.value).splitlines()
    assert "2 visits submit 8 jobs, but target.limits.jobs allows 7: raise it, or lower" in jobs
    assert "among 4 processes" in processes
    assert "use at most 3" in processes
    assert "--allow-host staging.example.com" in host
    check_target(make(jobs=7), consent(), ["quick"], 3)


class Said:
    """What the person at the terminal reads, and answers."""

    def __init__(self, answer: str | BaseException = "") -> None:
        self.lines: list[str] = []
        self.questions: list[str] = []
        self._answer = answer

    def say(self, line: str) -> None:
        self.lines.append(line)

    def ask(self, question: str) -> str:
        self.questions.append(question)
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


def announced(scenario: Scenario, given: Consent, said: Said, *, terminal: bool = True) -> None:
    announce(scenario, given, None, say=said.say, ask=said.ask if terminal else None)


def test_a_run_says_what_it_will_send_and_no_secret(make: Make) -> None:
    """Host, requests, bounds, settings and jobs; on this machine there is no question."""
    said = Said()
    announced(make(), consent(), said)
    assert said.lines == [
        "This run of own (quick, slow) sends requests to a service of yours:",
        "  target: http://127.0.0.1:1",
        "  asks: POST /tasks, then GET /tasks/{id}",
        "  limits: at most 8 jobs in all, 5 at once, 3 requests/s of any kind",
        "  secrets from the environment: OWN_API_KEY",
        "  2 visits, 8 jobs",
        "  about 32 requests if a job takes 5 s (11 s at least)",
        "  about 296 requests if a job takes 60 s (99 s at least)",
        "  about 2,888 requests if a job takes 10 min (16 min at least)",
    ]
    assert said.questions == []


def test_secrets_over_plain_http_are_warned_of(make: Make) -> None:
    """On the way to another machine anybody can read them."""
    said = Said()
    announced(make("http://staging.example.com"), consent(yes=True), said)
    assert any("http sends these secrets for all to read" in line for line in said.lines)


@pytest.mark.parametrize("answer", ["y\n", "Yes \n"])
def test_a_yes_goes_ahead(make: Make, answer: str) -> None:
    """The question comes after all that will be sent was said."""
    said = Said(answer)
    announced(make("https://staging.example.com"), consent(), said)
    assert said.questions == ["Go ahead? [y/N] "]
    assert len(said.lines) > 5


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("\n", UNUSABLE),
        ("n\n", UNUSABLE),
        ("yess\n", UNUSABLE),
        (EOFError(), INTERRUPTED),
        (KeyboardInterrupt(), INTERRUPTED),
    ],
)
def test_all_else_sends_nothing(make: Make, answer: Any, status: int) -> None:
    """Also the end of input, and Ctrl-C."""
    with pytest.raises(Refusal, match=r"^nothing was sent$") as refused:
        announced(make("https://staging.example.com"), consent(), Said(answer))
    assert refused.value.status == status


def test_without_a_terminal_another_machine_needs_a_yes_on_the_command_line(make: Make) -> None:
    """With the command to type; with it there is no question."""
    scenario = make("https://staging.example.com")
    with pytest.raises(Refusal, match=r"type: python -m harness run 'own one' --yes$") as refused:
        announced(scenario, consent(), Said(), terminal=False)
    assert refused.value.status == UNUSABLE
    said = Said()
    announced(scenario, consent(yes=True), said)
    assert said.questions == []


def test_a_simulator_needs_no_leave() -> None:
    """Without a target nothing is said, asked or refused."""
    simulated = load_scenario(Path(_consent.__file__).parents[2] / "scenarios" / "outage.yaml")
    said = Said()
    check_target(simulated, consent(), None, 99)
    announced(simulated, consent(), said, terminal=False)
    assert said.lines == []
