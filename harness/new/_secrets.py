"""Secrets out of what people paste: each becomes ``${NAME}``, and its value is kept in memory alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from client import secrets_of

_CONFIDENTIAL: Final = re.compile(
    r"authoriz|authentic|oauth|cookie|token|secret|passw|credential|session|signature|api-?key"
    r"|(?:^|[-_])(?:auth|sig|pwd|key)(?:$|[-_])|[a-z]Key$",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]*) +(\S.*)")
_REFERENCE: Final = re.compile(r"((?:[A-Za-z][\w-]* +)?)\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SIGNS: Final = re.compile(r"\W+", re.ASCII)
_LOOKS_SECRET: Final = re.compile(  # by what services begin their keys with
    r"(?:sk|pk|rk|ghp|gho|ghs|xox[abp]|r8|hf|key|glpat)[-_][A-Za-z0-9_-]{12,}"
    r"|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a JSON Web Token
    r"|AKIA[A-Z0-9]{12,}|AIza[A-Za-z0-9_-]{30,}"
)
_IDEMPOTENT: Final = re.compile(r"(?:x-)?idempotency-key", re.IGNORECASE)
PLACE: Final = "{run}-{setting}-{key}"
"""What names each submission but once, in a scenario."""
_SHORTEST: Final = 6  # what is shorter is likely to occur by chance


class Secrets:
    """The secrets of one command, by the names of the environment variables that will hold them.

    values: what they are, never written anywhere. how: what each of them is, for people, without showing it.
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.how: dict[str, str] = {}

    def header(self, name: str, value: str) -> str:
        """Return a header's value with what is secret in it as ``${NAME}``."""
        if _IDEMPOTENT.fullmatch(name):  # the same one for every job would make them one job
            return PLACE
        if (referred := self._referred(value)) is not None:
            return referred
        if not (_CONFIDENTIAL.search(name) or _LOOKS_SECRET.search(value)):
            return value
        plain = name.lower()
        if plain in ("authorization", "proxy-authorization") and (scheme := _SCHEME.fullmatch(value)):
            variable = "API_BASIC" if scheme[1].lower() == "basic" else "API_TOKEN"
            return f"{scheme[1]} {self._named(variable, scheme[2], f'what follows {scheme[1]} in {name}')}"
        return self._named(name, value, f"the header {name}")

    def basic(self, user: str) -> str:
        """Return what follows ``Basic`` for ``user:password``, as ``${NAME}``."""
        encoded = base64.b64encode(user.encode()).decode()
        return self._named(
            "API_BASIC", encoded, "the base64 of user:password: printf %s user:password | base64"
        )

    def parameter(self, name: str, value: str) -> str:
        """Return the value of a query's parameter likewise."""
        if (referred := self._referred(value)) is not None:
            return referred
        secret = _CONFIDENTIAL.search(name) or _LOOKS_SECRET.search(value)
        return self._named(name, value, f"the parameter {name}") if secret and value else value

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a body likewise."""
        return {name: self._member(name, value) for name, value in body.items()}

    def hidden(self, text: str) -> str:
        """Return a text with the values of secrets as their names."""
        for name, value in self.values.items():
            text = text.replace(value, f"${{{name}}}") if len(value) >= _SHORTEST else text
        return text

    def _member(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {inner: self._member(inner, each) for inner, each in value.items()}
        if isinstance(value, list):
            return [self._member(name, each) for each in value]
        if not isinstance(value, str) or not value or any(secrets_of(value)):
            return value
        secret = _CONFIDENTIAL.search(name) or _LOOKS_SECRET.search(value)
        return self._named(name, value, f"the member {name} of the body") if secret else value

    def _referred(self, value: str) -> str | None:
        """Return a value that names variables of the shell, as we write them; None if it names none."""
        found = _REFERENCE.fullmatch(value)
        return f"{found[1]}${{{found[2] or found[3]}}}" if found else None

    def _kept(self, value: str) -> str | None:
        return next((name for name, known in self.values.items() if known == value), None)

    def _named(self, wanted: str, value: str, how: str) -> str:
        if (name := self._kept(value)) is None:
            plain = _SIGNS.sub("_", _HUMP.sub("_", wanted)).upper().strip("_")
            plain = f"API_{plain}" if not plain or plain[0].isdigit() else plain
            name, number = plain, 1
            while name in self.values:
                number += 1
                name = f"{plain}_{number}"
            self.values[name], self.how[name] = value, how
        return f"${{{name}}}"
