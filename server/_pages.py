"""What pages in a browser on this machine may ask: nothing that changes anything, unless they are our own.

A browser lets any page send requests to this machine, and by a name of its own that it lets point here even
read the replies (DNS rebinding). It tells which page asks, in Origin, and which name was meant, in Host
(OWASP on cross-site request forgery). Programs send no Origin and are not concerned.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.exceptions import Forbidden

from scenarios import is_loopback

_READS: Final = ("GET", "HEAD", "OPTIONS")
_ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - how this machine is named where all addresses are listened on


def install(app: Flask) -> None:
    """Refuse, with 403, what changes something for a page of another origin."""
    app.before_request(_refuse_foreign_pages)


def _refuse_foreign_pages() -> None:
    origin = request.headers.get("Origin")
    if origin is None or request.method in _READS:
        return
    if not names_this_machine(origin) or urlsplit(origin).netloc.lower() != request.host.lower():
        raise Forbidden("pages of other origins may not change anything here")


def names_this_machine(address: str) -> bool:
    """Say whether an address, be it ``//localhost:5000``, names this machine by what cannot mean another."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return is_loopback(host) or host in _ANYWHERE
