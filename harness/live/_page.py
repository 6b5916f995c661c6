"""Locust's page listens on this machine, and so can be reached by every other page that a browser here shows.

A page of another origin could start runs and read their results, directly (Locust allows all origins) or by a
name of its own that it lets point to this machine (DNS rebinding). So requests must be for an address that is
this machine's, and must not come from a page of another origin (OWASP on cross-site request forgery).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Response, request

from scenarios import is_loopback

_NAMES: Final = ("localhost", "localhost.localdomain", "ip6-localhost")


def guard(app: Flask, web_host: str) -> None:
    """Refuse, with 403, requests that come from other pages, or by names that are not this machine's.

    web_host: where the page listens. Beyond loopback any name is good, for it was asked for; other pages stay
    refused.
    """
    any_name = not _is_ours(web_host or "0.0.0.0")  # noqa: S104 - what Locust takes no host for

    @app.before_request
    def check() -> Response | None:
        if not any_name and not _is_ours(_host_of(f"//{request.host}")):
            return _refused(f"this page does not go by the name {request.host}; use http://localhost")
        origin = request.headers.get("Origin")
        if origin is not None and _own_of(origin) != request.host.lower():
            return _refused("pages of other origins may not use this one")
        if request.method != "GET" and request.headers.get("Sec-Fetch-Site", "none") not in _OWN:
            return _refused("pages of other origins may not use this one")
        return None


_OWN: Final = ("none", "same-origin")  # typed by the user, or from the page itself


def _is_ours(host: str) -> bool:
    """Return whether this is a name or an address of this machine that others cannot reach."""
    return is_loopback(host) or host.lower().rstrip(".") in _NAMES


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _own_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _refused(why: str) -> Response:
    return Response(f"{why}\n", 403, mimetype="text/plain")
