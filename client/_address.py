"""Where a service is: its base address, taken apart before it is used."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from ._checks import InvalidSetting

_USER_INFO: Final = re.compile(r"^([a-z][a-z0-9+.-]*://|//)?.*@", re.IGNORECASE | re.DOTALL)
_NO_HOST: Final = re.compile(r"[\x00-\x20\x7f\"<>\\^`{|}]")  # RFC 3986, and what no parser agrees upon
_PORTS: Final = {"http": 80, "https": 443}


class Address(NamedTuple):
    """A base address without a slash at its end or user info; ``authorization``: the header that this is."""

    url: str
    authorization: str | None


def checked_address(base_url: str) -> Address:
    """Return an address that drivers can use, or raise InvalidSetting, which never shows user info."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and _is_host(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed [IPv6] host, or a port that is no port number
        usable = False
    if not usable:
        raise InvalidSetting("base_url", shown(base_url), "give an address like http://127.0.0.1:5000")
    for mark, what in (("?", "query"), ("#", "fragment")):
        if mark in base_url:
            remedy = (
                f"leave the {what} away: paths are added to the end of this address, behind the {what}, "
                "where no service looks for them"
            )
            raise InvalidSetting("base_url", shown(base_url), remedy)
    credentials, _, host = parts.netloc.rpartition("@")
    plain = parts._replace(netloc=host).geturl().rstrip("/")
    return Address(plain, _basic(credentials) if credentials else None)


def _is_host(name: str | None) -> bool:
    return bool(name) and _NO_HOST.search(name or "") is None


def shown(url: str) -> str:
    """Return an address as it may be printed: without user info, and without what a query says."""
    return re.sub(r"([?#]).+", r"\1...", _USER_INFO.sub(r"\1", url), flags=re.DOTALL)


def with_query(url: str, query: Mapping[str, str]) -> str:
    """Return an address with these parameters added; those that it has already stay as they are."""
    known = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    added = urlencode({name: value for name, value in query.items() if name not in known}, quote_via=quote)
    return f"{url}{'&' if '?' in url else '?'}{added}" if added else url


def same_origin(one: str, other: str) -> bool:
    """Return whether two addresses are of one scheme, host and port: what credentials may be sent to."""
    try:
        return _origin(urlsplit(one)) == _origin(urlsplit(other))
    except ValueError:
        return False


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _basic(credentials: str) -> str:
    user, _, password = credentials.partition(":")
    return f"Basic {b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode()}"
