"""Why a reply tells no state of a job: the failure that it is, and what in the dialect would declare it."""

from __future__ import annotations

import json
from typing import Any, Final

from ._address import shown
from ._calls import StatusCall, SubmitCall
from ._errors import StatusReadFailed, SubmitFailed, UnknownState
from ._events import Failure, Undeclared, is_retryable
from ._expressions import find
from ._hints import Hint
from ._wire import Response, cut, excerpt, read_detail

_ABOUT_ACCESS: Final = (401, 403, 404, 410)  # say who may see what, whatever the dialect


def problem_of(expression: str | None, response: Response, document: Any) -> str | None:
    """Return what a 2xx says is wrong with the request, by the dialect's ``problem``; None if nothing is."""
    if expression is None or not 200 <= response.status_code < 300 or not find(document, expression):
        return None
    found = find(document, expression)
    return cut(found) if isinstance(found, str) else read_detail(document, response.body)


def submit_failed(
    call: SubmitCall, response: Response, document: Any, hint: Hint | None
) -> SubmitFailed | None:
    """Return why a reply to a submission accepts no job, None if its code says that it does."""
    code, seconds, name = response.status_code, hint and hint.seconds, hint and hint.name
    problem = problem_of(call.problem, response, document)
    if problem is not None:
        return SubmitFailed(code, problem, False, None, seconds, name)
    if code in call.accepted:
        return None
    said = _said(response, document)
    if code >= 400:
        again = is_retryable(code, hinted=hint is not None and hint.asked)
        return SubmitFailed(code, said, again, None, seconds, name)
    said = f"the dialect's submit.accepted does not have this code: {said}"
    return SubmitFailed(code, said, False, undeclared(response, "submit.accepted"), seconds, name)


def read_failed(
    call: StatusCall, response: Response, document: Any, word: Any, hint: Hint | None
) -> StatusReadFailed:
    """Return why a reply to a status request tells no state. word: what it has in the state's place."""
    code, seconds, name = response.status_code, hint and hint.seconds, hint and hint.name
    problem = problem_of(call.problem, response, document)
    if not 200 <= code < 300:
        retryable = code in call.retryable or is_retryable(code, hinted=hint is not None and hint.asked)
        said = _said(response, document)
        keys: tuple[str, ...] = ()
        if code < 400:
            keys = ("status.path",)
        elif not retryable and code not in _ABOUT_ACCESS:
            keys = ("status.not_ready", "status.retryable")
        unknown = undeclared(response, *keys) if keys else None
        failure = Failure(f"http {code}", code, said, retryable=retryable, undeclared=unknown)
    elif problem is not None:
        failure = Failure("problem", code, problem, retryable=True)
    elif isinstance(word, str | int):
        return UnknownState(call.state, word, code, seconds, name, undeclared(response).quote)
    elif not isinstance(document, dict):
        said = f"no JSON object: {excerpt(response.body)}"
        empty = ("status.not_ready", "status.state") if not response.body.strip() else ("status.path",)
        failure = Failure("malformed", code, said, undeclared=undeclared(response, *empty))
    else:
        said = f"no {call.state}" if word is None else f"{call.state} is no word: {json.dumps(word)}"
        failure = Failure("malformed", code, cut(said), undeclared=undeclared(response, "status.state"))
    return StatusReadFailed(failure, seconds, name)


def undeclared(response: Response, *keys: str) -> Undeclared:
    """Return a reply in quotes, with the dialect's keys that would declare it."""
    return Undeclared(f"HTTP {response.status_code}: {_led(response) or excerpt(response.body)}", keys)


def _said(response: Response, document: Any) -> str:
    led = None if response.body.strip() else _led(response)
    return led or read_detail(document, response.body)


def _led(response: Response) -> str | None:
    """Return where a redirection leads, which is not followed; None: it is none."""
    place = response.header("Location") if 300 <= response.status_code < 400 else None
    return None if place is None else cut(f"it leads to {shown(place)}, which is not followed")
