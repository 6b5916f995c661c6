"""Reads the native dialect, without input or output: a reply in; a status, an id or an error out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from ._errors import StatusReadFailed, SubmitFailed
from ._events import Failure, JobState
from ._records import JobStatus
from ._retry_after import parse_retry_after

_STATES: Final[Mapping[object, JobState]] = {
    "pending": "pending",
    "completed": "completed",
    "error": "error",
}
_DETAIL_LENGTH: Final = 200


def checked_url(base_url: str) -> str:
    """Return an address that requests can use, or raise ValueError."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed [IPv6] host, or a port that is no port number
        usable = False
    if not usable:
        raise ValueError(f"base_url={base_url!r} cannot be used: give an address like http://127.0.0.1:5000")
    return base_url


def read_status(status_code: int, headers: Mapping[str, str], body: bytes, now_epoch: float) -> JobStatus:
    """Return the job status that a reply to a status request tells, or raise StatusReadFailed.

    headers: as requests gives them, case-insensitive. now_epoch: the wall clock, for a Retry-After date.

    Only the status decides: a progress or finished_ago that is no number is dropped rather than costing the
    client the job's end.
    """
    hint = parse_retry_after(headers.get("Retry-After"), date=headers.get("Date"), now_epoch=now_epoch)
    if status_code != 200:
        raise StatusReadFailed(Failure.http(status_code, read_detail(body)), hint)
    document = _json_object(body)
    if document is None:
        raise StatusReadFailed(Failure("malformed", status_code, f"no JSON object: {_excerpt(body)}"), hint)
    status = document.get("status")
    if not isinstance(status, str) or status not in _STATES:
        said = f"status {status!r}"[:_DETAIL_LENGTH] if "status" in document else "no status"
        raise StatusReadFailed(Failure("malformed", status_code, said), hint)
    job_id = document.get("id")
    return JobStatus(
        id=job_id if isinstance(job_id, str) else None,
        status=_STATES[status],
        progress=_finite(document.get("progress")),
        finished_ago=_finite(document.get("finished_ago")),
        retry_after=hint,
    )


def read_submission(status_code: int, body: bytes) -> str:
    """Return the id of the job that a reply to a submission accepted, or raise SubmitFailed."""
    if status_code != 202:
        raise SubmitFailed(status_code, read_detail(body))
    job_id = (_json_object(body) or {}).get("id")
    if not isinstance(job_id, str) or not job_id:
        raise SubmitFailed(status_code, f"the reply names no job id: {_excerpt(body)}")
    return job_id


def read_detail(body: bytes) -> str:
    """Return what a failing reply says: the detail or title of problem+json (RFC 9457), else its text."""
    problem = _json_object(body) or {}
    for member in ("detail", "title"):
        text = problem.get(member)
        if isinstance(text, str) and text:
            return text[:_DETAIL_LENGTH]
    return _excerpt(body)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # bad JSON, bad UTF-8, or brackets nested without end
        return None
    return document if isinstance(document, dict) else None


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        return None
    return number if math.isfinite(number) else None


def _excerpt(body: bytes) -> str:
    return " ".join(body[:_DETAIL_LENGTH].decode("utf-8", "replace").split()) or "empty body"
