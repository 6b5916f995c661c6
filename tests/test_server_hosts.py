"""The host below Flask and the application on another WSGI server: the same bytes, dialect by dialect.

What is compared is all that a client sees but for what differs anyhow: ids, numbers, dates, and how the host
says that it keeps a connection.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from host_parts import TOKEN, Service, hosted

from scenarios import FAULTS
from server._dialects import DIALECTS

ID = re.compile(r"[\w-]{88}")
HOSTS_OWN = {"date", "connection", "server"}
OF_ONES_OWN: dict[str, Any] = {
    "submit": {
        "path": "/v1/tasks",
        "accepted": [201],
        "id": "tasks[0].id",
        "location": {"body": "links.poll"},
    },
    "status": {
        "method": "POST",
        "path": "/v1/task%20s?name={id}",
        "state": "task.state",
        "pending": ["WAITING"],
        "completed": ["DONE"],
        "error": ["BROKEN"],
        "not_ready": [204],
        "hints": [{"body": "task.wait_ms", "unit": "ms"}],
    },
}
WITHOUT_A_WORD = {"status": {"path": "/{id}", "pending": [], "not_ready": [204], "completed": ["done"]}}
LANGUAGES: dict[str, Any] = {
    **{name: name for name in DIALECTS},
    "of one's own": OF_ONES_OWN,
    "without a word": WITHOUT_A_WORD,
}
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Service]]:
    with hosted("fast") as fast, hosted("wsgi") as wsgi:
        yield [fast, wsgi]


def said(service: Service, method: str, target: str, *headers: str, body: bytes = b"") -> tuple[Any, ...]:
    """One request on a connection of its own: the status line, the headers and the body that come back."""
    head = [f"{method} {target} HTTP/1.1", *headers]
    if not any(line.startswith("Host:") for line in headers):
        head.append("Host: sim.test:81")
    if body and not any("chunked" in line for line in headers):
        head.append(f"Content-Length: {len(body)}")
    with service.connect() as sock:
        sock.sendall("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)
        reply = http.client.HTTPResponse(sock, method=method)
        reply.begin()
        text = reply.read().decode()
    told = {name.lower(): known(value) for name, value in reply.getheaders() if name.lower() not in HOSTS_OWN}
    if "allow" in told:
        told["allow"] = ", ".join(sorted(told["allow"].split(", ")))
    return reply.status, reply.reason, told, known(text)


def known(text: str) -> str:
    """The text with ID for each id and N for each number."""
    return re.sub(r"\d+(\.\d+)?(e-\d+)?", "N", ID.sub("ID", text))


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def conversation(service: Service, language: str) -> Iterator[tuple[Any, ...]]:
    """Everything that this test says to a host, and what came back."""
    row, key = DIALECTS.get(language), "Backoff-Job-Key: 17"
    service.serve(dialect=LANGUAGES[language], retry_after="90s", job={"slots": 1})
    submit = {"of one's own": "/v1/tasks", "without a word": "/jobs"}.get(language) or row.submit[0].rule
    if row is not None:
        read = row.status[0].path("{}")
    else:
        read = {"of one's own": "/v1/task%20s?name={}", "without a word": "/{}"}[language]
    method = "POST" if language == "of one's own" else "GET"
    with service.connect() as sock:  # for an id
        sock.sendall(f"POST {submit} HTTP/1.0\r\n\r\n".encode())
        found = ID.search(sock.makefile("rb").read().decode())
    assert found is not None
    job = found[0]
    for headers, body in [
        ((), b""),
        ((), b'{"key": 5, "x": 1}'),
        ((), b'{"key": "x"}'),
        ((key,), b'{"key": 5}'),
        (("Backoff-Job-Key: -1",), b""),
        (("Content-Type: multipart/form-data; boundary=x",), b"--x--"),
        (("Transfer-Encoding: chunked",), chunked(b'{"key": 5}')),
        (("Host: [::1]:5000", "Prefer: wait", "Prefer: respond-async"), b"{"),
    ]:
        yield said(service, "POST", submit, *headers, body=body)
    for headers in [
        (),
        ("Poll-Attempt: 3",),
        ("Poll-Attempt: 0",),
        ("Poll-Attempt: 1", "Poll-Attempt: 2"),
        ("Host: EXAMPLE.test",),
        ("Host: a b",),
        ("Host: xn--bcher-kva.test:80",),
    ]:
        yield said(service, method, read.format(job), *headers)
    for target in [
        read.format("nope"),
        read.format(f"{job[:5]}%{ord(job[5]):02x}{job[6:]}"),
        read.format("%ff%00"),
        read.format(job) + ("&" if "?" in read else "?") + "id=x&name=y&x=%20",
        read.format(job) + "/",
        read.partition("?")[0].format(""),
        "/status",
        "/status?id=",
        "/status?id=nope&id=" + job,
        "/v1/owner%2Fname",
        "//jobs/x",
        "/",
    ]:
        yield said(service, method, target)
    for other in ("HEAD", "OPTIONS", "DELETE", "POST" if method == "GET" else "GET"):
        yield said(service, other, read.format(job))
        yield said(service, other, submit)
    yield said(service, "GET", "/healthz")
    yield said(service, "GET", "/admin/counters", "Authorization: Bearer wrong")
    for fault in [{"status": 503, "retry_after": 7}, {"status": 599}]:
        service.serve(dialect=LANGUAGES[language], faults=[{"rate": 1, **fault}])
        yield said(service, method, read.format("x" * 88))
        yield said(service, method, read.format(job))
        with service.connect() as sock:
            sock.sendall(f"POST {submit} HTTP/1.0\r\n\r\n".encode())
            found = ID.search(sock.makefile("rb").read().decode())
        assert found is not None
        yield said(service, method, read.format(found[0]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_hosts_say_the_same(hosts: list[Service], language: str) -> None:
    """Submissions, status requests, mistakes, wrong methods, odd targets and failures, to the last header."""
    fast, wsgi = ([*conversation(service, language)] for service in hosts)
    assert len(fast) > 40
    for number, (ours, theirs) in enumerate(zip(fast, wsgi, strict=True)):
        assert ours == theirs, f"exchange {number}"
    assert hosts[0].counts() == hosts[1].counts()


@pytest.mark.parametrize("name", FAULTS)
def test_both_hosts_fail_alike(hosts: list[Service], name: str) -> None:
    """Every byte of a struck reply is the same, and a reset is a reset."""
    own = {"STALE_READ": {"age": "1s"}, "SLOW_DRIBBLE": {"duration": "100ms"}}
    seen = []
    for service in hosts:
        service.serve(faults=[{"fault": name, "rate": 1, **own.get(name, {})}])
        try:
            head, ended, body = service.read().partition(b"\r\n\r\n")
        except ConnectionResetError:
            seen.append(("reset", service.counts()))
            continue
        lines = [
            line
            for line in head.split(b"\r\n")
            if line.split(b":")[0].lower().decode("latin-1") not in HOSTS_OWN
        ]
        texts = [known(part.decode("latin-1")) for part in (*sorted(lines), body)]
        seen.append((texts, ended, service.counts()))
    assert seen[0] == seen[1]


def test_large_bodies_are_refused_alike(hosts: list[Service]) -> None:
    """What is larger than 64 KiB, declared or not; than 16 MiB under a dialect that takes uploads."""
    for dialect, path, most in (("native", "/jobs", 1 << 16), ("openai-video", "/v1/videos", 1 << 24)):
        seen = []
        for service in hosts:
            service.serve(dialect=dialect)
            seen.append([])
            for extra in (-1, 1):
                body = b" " * (most + extra)
                seen[-1].append(said(service, "POST", path, body=body))
                seen[-1].append(said(service, "POST", path, "Transfer-Encoding: chunked", body=chunked(body)))
        assert seen[0] == seen[1]
        assert [reply[0] >= 400 for reply in seen[0]] == [False, False, True, True]


def test_a_scenario_is_told_what_is_wrong_alike(hosts: list[Service]) -> None:
    """Larger bodies than others, YAML or JSON, its faults in a list."""
    token = "Authorization: Bearer a-token-of-the-tests"
    yaml = ("Content-Type: application/yaml", token)
    for headers, body in [
        (yaml, b"job: {duration: 1h}\n#" + b"x" * 200_000),
        (yaml, b"job: {duraton: 1h}\n"),
        (yaml, b"x" * ((1 << 20) + 1)),
        ((token,), b"{}"),
        (("Content-Type: application/json", token), json.dumps({"job": {"duration": -1}}).encode()),
    ]:
        ours, theirs = (said(each, "PUT", "/admin/scenario", *headers, body=body) for each in hosts)
        assert ours == theirs


def test_pages_of_other_origins_are_refused_alike(hosts: list[Service]) -> None:
    """What is answered below Flask is guarded as what Flask answers; reading is for everybody."""
    for host in hosts:
        host.serve()
        for method, status in ((b"POST /jobs", b"403"), (b"GET /status", b"200")):
            head = b"%s HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\nConnection: close\r\n"
            reply = host.read(head % method + b"Content-Length: 0\r\n\r\n")
            assert reply.startswith(b"HTTP/1.1 " + status)


def test_a_large_scenario_keeps_nobody_waiting(hosts: list[Service]) -> None:
    """While a megabyte of YAML is read, other requests are answered: their time is not the reading's."""
    fast = hosts[0]
    fast.serve()
    body = b"x: [" + b"a, " * 300_000 + b"]\n"
    head = b"PUT /admin/scenario HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
    kind = b"Connection: close\r\nContent-Type: application/yaml\r\nContent-Length: %d\r\n\r\n" % len(body)
    with fast.connect() as large, fast.connect() as small:
        large.sendall(head % TOKEN.encode() + kind + body)
        large.setblocking(False)
        answered = 0
        while True:
            try:
                reply = large.recv(65_536)
                break
            except BlockingIOError:
                small.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
                assert small.recv(65_536).startswith(b"HTTP/1.1 200")
                answered += 1
    assert reply.startswith(b"HTTP/1.1 422")
    assert answered >= 20


@pytest.mark.parametrize("target", ["/jobs", "/jobs/unknown", "/status", "/nowhere"])
def test_a_method_that_nobody_has_heard_of_gets_the_same_answer(hosts: list[Service], target: str) -> None:
    """405 with the methods that there are, though no parser of HTTP knows this one."""
    answers = [said(host, "FROB", target) for host in hosts]
    assert answers[0] == answers[1]
    assert answers[0][0] == (404 if target == "/nowhere" else 405)
