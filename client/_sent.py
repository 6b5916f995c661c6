"""What goes with a request besides its path: headers, query parameters, a body, and the secrets in them.

A secret is written ``${NAME}`` and filled in from the environment when a request leaves. A dialect holds the
name alone, so what prints, logs or writes a dialect cannot tell it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from ._checks import InvalidSetting

_T = TypeVar("_T")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"(?:[!-~\xa0-\xff](?:[ \t!-~\xa0-\xff]*[!-~\xa0-\xff])?)?")
_SECRET: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SENT: Final = ("headers", "query", "json")
_SHORTEST: Final = 6  # what is shorter is likely to occur by chance


def check_token(field: str, value: object, what: str) -> None:
    """Raise InvalidSetting unless this is a token of HTTP: a method, or a header's name; None is neither."""
    if value is not None and not (isinstance(value, str) and _TOKEN.fullmatch(value)):
        raise InvalidSetting(field, value, f"give {what}")


def check_name(field: str, name: object) -> None:
    """Raise InvalidSetting unless this can be the name of a header."""
    check_token(field, name, "a name of letters, digits and hyphens")


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return headers that can be sent, or raise InvalidSetting, which shows no value: it may be secret."""
    for name, value in (headers or {}).items():
        check_name("headers", name)
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise InvalidSetting("headers", name, "give it a value in one line of Latin letters and signs")
        _check_secrets("headers", name, value)
    return dict(headers or {})


def check_sent(call: Any) -> None:
    """Raise InvalidSetting unless what a call sends can be sent."""
    for field in _SENT:
        if not isinstance(getattr(call, field, {}), Mapping):
            raise InvalidSetting(field, getattr(call, field), "give names and their values")
    checked_headers(call.headers)
    for name, value in call.query.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidSetting("query", name, "give it a text for a value")
        _check_secrets("query", name, value)


def _check_secrets(field: str, name: str, value: str) -> None:
    if "${" in _SECRET.sub("", value):
        raise InvalidSetting(field, name, "write a secret as ${NAME}: letters, digits and _")


def secrets_of(value: Any) -> Iterator[str]:
    """Yield the names of the secrets in a text, and in all that a mapping or a list holds."""
    if isinstance(value, str):
        yield from _SECRET.findall(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secrets_of(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secrets_of(inner)


def secrets_sent(call: Any) -> Iterator[str]:
    """Yield the names of the secrets that a call sends."""
    for field in _SENT:
        yield from secrets_of(getattr(call, field, {}))


def fill(value: Any, environment: Mapping[str, str]) -> Any:
    """Return the value with every secret in it filled in; raise InvalidSetting if one is not set."""
    if isinstance(value, str):
        return _SECRET.sub(lambda found: _known(found[1], environment), value) if "${" in value else value
    if isinstance(value, Mapping):
        return {key: fill(inner, environment) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [fill(inner, environment) for inner in value]
    return value


def _known(name: str, environment: Mapping[str, str]) -> str:
    if name not in environment:
        raise InvalidSetting("secret", f"${{{name}}}", f"the environment has no {name}: export {name}=...")
    return environment[name]


def hidden(text: str, names: Iterable[str], environment: Mapping[str, str]) -> str:
    """Return a text with the values of these secrets as their names: services repeat what they were sent."""
    for name in names:
        value = environment.get(name, "")
        if len(value) >= _SHORTEST:
            text = text.replace(value, f"${{{name}}}")
    return text


def without_secrets(call: _T) -> _T:
    """Return a call that sends no secret: headers, parameters and members that hold one are left out."""
    kept = {
        each.name: _without(getattr(call, each.name))
        for each in fields(call)  # type: ignore[arg-type] # a call is a dataclass
        if each.name in _SENT
    }
    return replace(call, **kept)  # type: ignore[type-var] # as above


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(inner) for key, inner in value.items() if not _holds_secret(inner)}
    if isinstance(value, list | tuple):
        return [_without(inner) for inner in value if not _holds_secret(inner)]
    return value


def _holds_secret(value: object) -> bool:
    return isinstance(value, str) and _SECRET.search(value) is not None
