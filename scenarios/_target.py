"""The user's own API as what is polled: where it is, how it speaks, what jobs are made of, and the bounds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from ssl import create_default_context
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo

from client import Dialect, Request, checked_address, secrets_of
from scenarios._arrivals import KEYS_PER_REPEAT
from scenarios._dialect import ClientDialect, unset_secrets
from scenarios._inputs import Inputs, filled, places
from scenarios.documents import Count, LocalDiagnostic, Model, Positive, PositiveSeconds, located

_CONFIDENTIAL: Final = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)
_SHORTEST_SECRET: Final = 4  # what is shorter is likely to occur by chance
_OWN_NAMES: Final = ("index", "key", "setting", "run")
"""What a place may name besides the inputs: see ``Target.submission``."""


def _base_url(text: str) -> str:
    address = checked_address(text)
    if address.authorization is not None:
        raise ValueError(
            "holds a user's name or password, which would be copied with this file; write it as "
            "headers: {Authorization: '${NAME}'} and set NAME in the environment"
        )
    return address.url


def _located(file: str, info: ValidationInfo) -> str:
    path = located(file, info.context)
    if not path.is_file():
        raise ValueError(f"there is no such file: {path}; name the authority's certificate in PEM form")
    try:
        create_default_context(cafile=path)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ValueError(f"{path.name} holds no certificate in PEM form ({error})") from None
    return str(path)


class Limits(Model):
    """The most that a run sends to the target, whatever workload and settings ask for."""

    jobs: Count
    """Submissions in all: of every setting and repeat, whether accepted or not."""
    rate: Positive
    """Requests per second of any kind: submissions and polls, retries included."""
    in_flight: Count
    """Jobs at once; one whose end its client did not learn counts on, for it may still be under way."""
    job_time: PositiveSeconds = 3600.0
    """Seconds that a job is followed, however patient its setting is; then it is left, as censored."""


class Target(Model):
    """The user's own API, polled instead of the simulator."""

    base_url: Annotated[str, Field(strict=True), AfterValidator(_base_url)]
    """Its address, such as https://staging.example.com/v1; the dialect's paths hang below it."""
    dialect: ClientDialect
    """How it speaks: the name of a well-known dialect, or a mapping of where and what it says."""
    headers: dict[str, Annotated[str, Field(strict=True)]] = Field(default={})
    """Sent with every request to it; ``${NAME}`` is a secret from the environment."""
    inputs: Inputs = ()
    """What jobs are submitted with, in turn: a list of mappings, or a CSV or JSON Lines file."""
    submit_timeout: PositiveSeconds | None = None
    """Most seconds for a submission; null: the setting's request_timeout."""
    ca: Annotated[str, Field(strict=True), AfterValidator(_located)] | None = None
    """A file of certificates in PEM form, to be trusted instead of the usual authorities."""
    limits: Limits
    """The most that a run sends to it."""

    @classmethod
    def surroundings(cls, data: Mapping[str, Any], context: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        yield from unset_secrets(data, ("headers", "inputs"), context)
        dialect = data.get("dialect")
        for part in ("submit", "status"):
            calls = dialect.get(part) if isinstance(dialect, Mapping) else None
            if isinstance(calls, Mapping):
                for path, said in unset_secrets(calls, ("headers", "query", "json"), context):
                    yield ("dialect", part, *path), said

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        for name in self.headers:
            if next(places(self.headers[name]), None):
                remedy = "these go with every request; write it in dialect.submit.headers"
                yield ("headers", name), f"has a place for a job's input; {remedy}"
        yield from _written_out(("headers",), self.headers)
        yield from _written_out(("dialect", "submit", "headers"), self.dialect.submit.headers)
        yield from _written_out(("dialect", "status", "headers"), self.dialect.status.headers)
        known = set(_OWN_NAMES).union(*self.inputs) if self.inputs else set(_OWN_NAMES)
        for name in dict.fromkeys(self._places()):
            short = [i for i, record in enumerate(self.inputs) if name not in record]
            if name not in known:
                remedy = (
                    f"the places are {', '.join(sorted(known))}; write {{{{{name}}}}} for the text itself"
                )
                yield ("dialect", "submit"), f"{{{name}}} is no input; {remedy}"
            elif name not in _OWN_NAMES and short:
                yield (
                    ("inputs",),
                    f"number {short[0] + 1} has no {name!r}, which dialect.submit has a place for",
                )

    def _places(self) -> Iterator[str]:
        submit = self.dialect.submit
        yield from places([submit.path, submit.json, submit.headers, submit.query])

    @property
    def spoken(self) -> Dialect:
        """The dialect, with the headers that go with every request."""
        submit, status = self.dialect.submit, self.dialect.status
        return replace(
            self.dialect,
            submit=replace(submit, headers={**self.headers, **submit.headers}),
            status=replace(status, headers={**self.headers, **status.headers}),
        )

    @property
    def host(self) -> str:
        """The host's name or number, in lower case and without brackets."""
        return (urlsplit(self.base_url).hostname or "").rstrip(".")

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its number, or ``localhost``; no other name is looked up."""
        return is_loopback(self.host)

    def submission(self, request: Request, key: int, setting: str, run: str) -> Request:
        """Return the request that submits the job ``key`` with its input, from the one of the dialect.

        Places are filled with the members of the input, and with ``key``, ``index`` (the job's number within
        its repeat), ``setting`` and ``run`` (what tells this run from others). Inputs that have no place
        become members of the body.
        """
        index = key % KEYS_PER_REPEAT
        given = self.inputs[index % len(self.inputs)] if self.inputs else {}
        record = {"index": index, "key": key, "setting": setting, "run": run, **given}
        taken = set(self._places())
        loose = {name: value for name, value in given.items() if name not in taken}
        body = filled(request.json, record)
        return replace(
            request,
            path=filled(request.path, record, in_path=True),
            json={**(body or {}), **loose} if loose else body,
            private=filled(request.private, record),
            query=filled(request.query, record),
        )

    def hidden(self, text: str) -> str:
        """Return a text with the values of secrets as their names: services repeat what they were sent."""
        for name in self.secrets():
            value = os.environ.get(name, "")
            if len(value) >= _SHORTEST_SECRET:
                text = text.replace(value, f"${{{name}}}")
        return text

    def secrets(self) -> list[str]:
        """Return the names of the secrets that requests are made with, each once."""
        submit, status = self.dialect.submit, self.dialect.status
        queries = [submit.query, status.query]
        sent = [self.headers, submit.headers, submit.json, status.headers, queries, list(self.inputs)]
        return list(dict.fromkeys(secrets_of(sent)))


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine by its number, or ``localhost``; no other name is looked up.

    What any other name stands for can change between two look-ups.
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _written_out(place: tuple[str, ...], headers: Mapping[str, str]) -> Iterator[LocalDiagnostic]:
    for name, value in headers.items():
        if _CONFIDENTIAL.search(name) and not any(secrets_of(value)):
            remedy = "write ${NAME} and set NAME in the environment: each run keeps a copy of this file"
            yield (*place, name), f"looks like a secret; {remedy}"
