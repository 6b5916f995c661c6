"""``new --curl``: a scenario that polls the user's own API, from the command that submits a job to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import yaml

from client import Dialect, InvalidSetting, Response, SubmitCall, same_origin, secrets_of
from harness._refusal import FAILED, UNUSABLE, Refusal
from harness.live import Ask, Consent, agree, is_this_machine, not_allowed, submit_once
from harness.new._curl import Call, read_curl
from harness.new._draft import Draft
from harness.new._guess import Guess, NoJob, guess
from harness.new._pieces import HEAD, Start, comment, dumped, flow, law, named, objectives, quoted, remark
from harness.new._secrets import PLACE

_TYPICAL_S: Final = 10.0  # what jobs are assumed to take until a run tells
_DEADLINE_S: Final = 600.0
_JOBS: Final = 20  # per setting
_SETTINGS: Final = 3
_RATE: Final = 1.0
_WORDS: Final = ("pending", "completed", "error")

Say = Callable[[str], None]


def from_curl(command: str, consent: Consent, ask: Ask | None, say: Say) -> Draft:
    """Return a scenario whose target is what a curl command submits a job to.

    The command's request is sent once, to this machine or a host that ``consent`` names, and the dialect is
    guessed from the reply, shown by ``say``, and asked about. ask: None where there is nobody to.
    Raises ``Refusal`` for a command or a host that cannot be had, a reply that names no job, and a no.
    """
    call = read_curl(command)
    _refuse_unless_sendable(call, consent, ask)
    say(f"sends one request: {call.method} {call.base}{call.path}" + _with_secrets(call))
    if not is_this_machine(call.host):
        agree(consent, ask, "Go ahead?", "nothing was sent")
    reply = _sent(call)
    guessed = _guessed(call, reply)
    data = _target(call, guessed)
    shown = _yaml({"target": data})
    say(f"HTTP {reply.status_code}; the dialect that this suggests:")
    for line in (*shown, "", *_rests_on(call, guessed)):
        say(f"  {line}".rstrip())
    agree(consent, ask, "Write it?", "nothing is written")
    return _draft(call, guessed, data)


def _refuse_unless_sendable(call: Call, consent: Consent, ask: Ask | None) -> None:
    named = dict.fromkeys(secrets_of([call.headers, call.query, call.body or {}]))
    faults = [fault for fault in (not_allowed(call.host, consent),) if fault]
    faults += [
        f"the environment has no {name}, which the command names: export {name}=..."
        for name in named
        if name not in call.secrets.values and name not in os.environ
    ]
    if ask is None and not consent.yes:
        faults.append(
            "there is no terminal to show the guess on: add --yes to take it as it comes, and read it then"
        )
    try:
        _submission(call)
    except InvalidSetting as error:
        faults.append(f"the command's {error.field} cannot be sent: {error.remedy}")
    if faults:
        raise Refusal("\n".join(faults), UNUSABLE)


def _submission(call: Call, once: str = "") -> Dialect:
    """Return the dialect that sends just this; once: what tells this submission from any other."""
    headers = {name: value.replace(PLACE, once) for name, value in call.headers.items()}
    body = call.body or {}
    submit = SubmitCall(call.method, call.path, headers=headers, query=call.query, json=body)
    return Dialect(submit, name="curl")


def _sent(call: Call) -> Response:
    environment = {**os.environ, **call.secrets.values}
    try:
        return submit_once(
            call.base, _submission(call, f"new-{uuid4()}"), environment, ca=call.ca, insecure=call.insecure
        )
    except InvalidSetting as error:
        raise Refusal(f"the command's {error.field} cannot be sent: {error.remedy}", UNUSABLE) from None


def _guessed(call: Call, reply: Response) -> Guess:
    """Return the guess, or raise ``Refusal`` where there is nothing to guess from."""
    asked = f"{call.method} {call.path} got HTTP {reply.status_code}"
    by_name = not call.query and PLACE not in call.headers.values()
    if not 200 <= reply.status_code < 300:
        place = reply.header("Location")
        leads = ""
        if place and reply.status_code < 400:
            leads = f"; it leads to {remark(_plain(call.secrets.hidden(place)))}, which is not followed"
        said = _excerpt(reply)
        raise Refusal(f"{asked}: {said}{leads}; no job was accepted, and nothing is written", FAILED)
    try:
        return guess(reply, call.method, call.path, by_name=by_name)
    except NoJob as error:
        raise Refusal(
            f"{asked}, but names no job and no address to poll: {error}; declare the dialect by hand: "
            "docs/your-own-api.md",
            FAILED,
        ) from None


def _excerpt(reply: Response) -> str:
    text = " ".join(reply.body[:400].decode("utf-8", "replace").split())[:200]
    return remark(text) or "no body"


def _with_secrets(call: Call) -> str:
    names = list(dict.fromkeys(secrets_of([call.headers, call.query, call.body or {}])))
    return f", with {', '.join(f'${{{name}}}' for name in names)}" if names else ""


def _target(call: Call, guessed: Guess) -> dict[str, Any]:
    """Return what stands under ``target``."""
    everywhere = {name: value for name, value in call.headers.items() if value != PLACE}
    at_submission = {name: value for name, value in call.headers.items() if value == PLACE}
    dialect = guessed.dialect
    if not isinstance(dialect, str):
        submit, status = dict(dialect["submit"]), dict(dialect["status"])
        if at_submission:
            submit["headers"] = at_submission
        if call.query:
            submit["query"] = dict(call.query)
            if not submit.get("location"):
                status["query"] = dict(call.query)
        dialect = {"submit": submit, "status": status}
    key = guessed.made.submit.key
    body = {name: value for name, value in (call.body or {}).items() if name != key}
    return {
        "base_url": call.base + guessed.prefix,
        "dialect": dialect,
        **({"headers": everywhere} if everywhere else {}),
        **({"inputs": [body]} if body else {}),
        **({"ca": str(Path(call.ca).absolute())} if call.ca else {}),
        "limits": {"jobs": _SETTINGS * _JOBS, "rate": 10, "in_flight": 20},
    }


def _rests_on(call: Call, guessed: Guess) -> Iterator[str]:
    job = guessed.job
    yield from (f"found: {each}" for each in guessed.found)
    yield from (
        f"assumed, for the reply does not show it: {key}: {why}" for key, why in guessed.assumed.items()
    )
    url = guessed.made.poll(job).url(call.base + guessed.prefix)
    yield f"so this job is read at: {guessed.made.status.method} {remark(_plain(call.secrets.hidden(url)))}"
    if not same_origin(url, call.base):
        yield f"which is another host: runs need --allow-host {urlsplit(url).hostname}, and send no headers"
    yield from call.notes


def _plain(url: str) -> str:
    """Return an address without what a query says: keys of access stand there."""
    path, asked, query = url.partition("?")
    return f"{path}{asked}..." if query else path


def _yaml(data: Any, indent: int = 0) -> list[str]:
    """Return data as YAML, lists of plain values and small mappings in one line each."""
    return [" " * indent + line for line in dumped(data, _Dumper).splitlines()]


_MOST_ON_A_LINE: Final = 4


class _Dumper(yaml.SafeDumper):
    """Writes what holds nothing but plain values on one line, and lists a step further in."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        return super().represent_sequence(tag, sequence, flow_style or _is_flat(sequence))

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:
        small = len(mapping) < _MOST_ON_A_LINE and _is_flat(mapping.values())
        return super().represent_mapping(tag, mapping, flow_style or small)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless and flow)

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _is_flat(values: Iterable[Any]) -> bool:
    return all(not isinstance(each, dict | list) for each in values)


def _draft(call: Call, guessed: Guess, data: dict[str, Any]) -> Draft:
    start = Start(_TYPICAL_S, _DEADLINE_S)
    where = call.base + guessed.prefix
    name = named(f"{call.host}{urlsplit(where).path}", "own-api")
    lines = [
        f"# How should a client poll {remark(where)}?",
        *HEAD,
        f"name: {name}",
        f"question: {quoted(f'How should a client poll {where}?')}",
        "seed: 1",
        "target:",
        f"  base_url: {quoted(where)}",
        *(line for note in call.notes for line in comment(note, 2)),
        *_dialect_lines(data["dialect"], guessed),
    ]
    if "headers" in data:
        lines += [
            "  # Sent with every request to this host and to no other; ${NAME} comes from the environment.",
            *_yaml({"headers": data["headers"]}, 2),
        ]
    lines += [
        "  # What jobs are submitted with, in turn: add others, or name a CSV or JSON Lines file.",
        *(_yaml({"inputs": data["inputs"]}, 2) if "inputs" in data else ["  # inputs: [{name: value}]"]),
        *(_yaml({"ca": data["ca"]}, 2) if "ca" in data else []),
        "  # Never exceeded, whatever stands below: jobs in all, requests/s of any kind, jobs at once.",
        f"  limits: {flow(data['limits'])}",
        "# What the twin and the plan take jobs for: a guess. After a run: python -m harness new --from RUN",
        "job:",
        f"  duration: {law(_TYPICAL_S)}",
        "workload:",
        "  lanes: 4   # clients; jobs are dealt to them in turn",
        f"  arrivals: {{type: poisson, rate: {_RATE:g}}}   # jobs per second",
        f"  jobs: {_JOBS}   # per setting",
        "settings:",
        *start.settings(start.known),
        *objectives(start.bound_s / 2, "lag_mean"),
        f"baseline: {start.constant}   # the others are compared with it",
    ]
    told = [
        f"set before check and run: export {name}=...   # {how}" for name, how in call.secrets.how.items()
    ]
    allow = "" if is_this_machine(call.host) else f" --allow-host {call.host}"
    told.append(f"then measure it: python -m harness run FILE{allow}")
    return Draft(name, "\n".join(lines) + "\n", found=tuple(told))


def _dialect_lines(dialect: Any, guessed: Guess) -> Iterator[str]:
    yield "  # Guessed from one reply; a run stops at one that it does not declare, and says which key would."
    if isinstance(dialect, str):
        yield f"  dialect: {dialect}   # docs/scenarios.md has what it says"
        return
    yield "  dialect:"
    for part, keys in dialect.items():
        yield f"    {part}:"
        for key, value in keys.items():
            why = guessed.assumed.get(f"{part}.{key}")
            yield from (f"      # Assumed: {remark(why)}.",) if why else ()
            yield from (
                _yaml({key: value}, 6)
                if isinstance(value, dict | list)
                else (f"      {key}: {_scalar(value)}",)
            )


def _scalar(value: Any) -> str:
    return dumped(value, _Dumper).removesuffix("...\n").strip()
