"""One submission to a service of the user's, sent once: what ``new --curl`` learns a dialect from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from ssl import CERT_NONE, SSLContext, create_default_context
from typing import Final

from client import Dialect, Driver, Response
from harness._refusal import FAILED, UNUSABLE, Refusal

_TIMEOUT_S: Final = 30.0


def submit_once(
    base_url: str,
    dialect: Dialect,
    environment: Mapping[str, str],
    *,
    ca: str | None = None,
    insecure: bool = False,
) -> Response:
    """Send the dialect's submission, and return the whole reply, in which secrets are hidden.

    No redirect is followed, nothing is sent twice; it takes at most 30 s, and a reply of 8 MiB.
    environment: holds the secrets. ca: a file of authorities to trust. insecure: trust any certificate.
    Raises ``Refusal`` when no reply came, or the file holds no certificate.
    """
    from harness.live._exchange import Exchange

    driver = Driver(base_url, None, dialect, None, None, None, False, environment)
    request = dialect.submission()
    out = driver.addressed(request)
    body = None if out.json is None else json.dumps(out.json).encode()
    headers = dict(out.headers)
    if body is not None and "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = "application/json"
    exchange = Exchange(_trust(ca, insecure))
    try:
        reply = exchange(request.method, out.url, headers, body, _TIMEOUT_S)
    except OSError as error:
        said = driver.cause(error).words
        raise Refusal(f"{base_url}: no reply: {said}; nothing is written", FAILED) from error
    finally:
        exchange.close()
    return driver.reply(replace(reply, url=request.url(base_url)))  # the whole address may hold secrets


def _trust(ca: str | None, insecure: bool) -> SSLContext | None:
    if ca is None and not insecure:
        return None
    try:
        trust = create_default_context(cafile=ca and Path(ca))
    except (OSError, ValueError) as error:
        raise Refusal(f"{ca} holds no certificate in PEM form ({error})", UNUSABLE) from None
    if insecure:
        trust.check_hostname = False
        trust.verify_mode = CERT_NONE
    return trust
