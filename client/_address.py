"""Where a service is: its base address, taken apart before it is used."""

from __future__ import annotations

from urllib.parse import urlsplit

from ._checks import InvalidSetting


def checked_url(base_url: str) -> str:
    """Return an address that drivers can use, or raise InvalidSetting."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed [IPv6] host, or a port that is no port number
        usable = False
    if not usable:
        raise InvalidSetting("base_url", base_url, "give an address like http://127.0.0.1:5000")
    return base_url
