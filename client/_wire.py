"""Requests and replies as values, and what can be said of a reply whatever its dialect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_DETAIL_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class Request:
    """One request to send: nothing in it but what the API asks for.

    path: from the service's base address on, or a whole address.
    json: the body as a value, None for no body. private, query: headers and query parameters for the service
    itself and no other origin. ``${NAME}`` in these and in the body is a secret that the driver fills in.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    private: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    def url(self, base_url: str) -> str:
        """Return the whole address, given that of the service (without a slash at its end)."""
        return base_url + self.path if self.path.startswith("/") else self.path


@dataclass(frozen=True, slots=True)
class Response:
    """One reply, whole.

    headers: names in any case; they are compared without it. url: where it came from. now_epoch: the wall
    clock when it came, in seconds since 1970 UTC, for hints that are dates. resent: how many times the
    request was sent again, on a connection that the server had not closed.
    """

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    url: str = ""
    now_epoch: float = 0.0
    resent: int = 0

    def document(self) -> Any:
        """Return the body's JSON value, None when it has none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):  # bad JSON, bad UTF-8, or brackets nested without end
            return None

    def header(self, name: str) -> str | None:
        """Return a header's value, None when it is absent."""
        wanted = name.lower()
        for key, value in self.headers.items():
            if key.lower() == wanted:
                return value
        return None

    def has_any(self, names: frozenset[str]) -> bool:
        """Say whether there is a header of one of these names, in lower case."""
        return any(name.lower() in names for name in self.headers)


def read_detail(document: object, body: bytes) -> str:
    """Return what a failing reply says: its JSON's words for people, else the beginning of its text.

    That is the detail or title of problem+json (RFC 9457), or the ``message`` that most services have, alone
    or in an ``error``.
    """
    problem = document if isinstance(document, dict) else {}
    inner = problem.get("error")
    of_error = inner.get("message") if isinstance(inner, dict) else inner
    for text in (problem.get("detail"), problem.get("title"), of_error, problem.get("message")):
        if isinstance(text, str) and text:
            return cut(text)
    return excerpt(body)


def excerpt(body: bytes) -> str:
    """Return the beginning of a body, as text in one line."""
    return cut(" ".join(body[: 4 * _DETAIL_LENGTH].decode("utf-8", "replace").split())) or "empty body"


def cut(text: str) -> str:
    """Return what a reader is shown of a server's words: their beginning, without what steers terminals."""
    return printable(text[:_DETAIL_LENGTH])[:_DETAIL_LENGTH]


def printable(text: str) -> str:
    """Return a text without what steers terminals: that is escaped."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
