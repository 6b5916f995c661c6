"""The APIs that the simulator speaks: one row each, written from their documentation.

The reading half is the client's own table. The two share nothing, so that they cannot share a mistake.
What no API tells, our simulator says in headers that other clients neither send nor read: the job's key comes
in by ``Backoff-Job-Key``, a poll's number by ``Poll-Attempt``, and ``Backoff-Finished-Ago`` goes out.

A reply is as much of the real one as clients read; what a real service stores of a submission (a prompt, an
input) is not in it, for the simulator stores nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from server._speaking import JSON, Dialect, HintHeader, Route, State, Subject, iso, title

_FAILED: Final = "the job failed, as the scenario has it"
_FILE: Final = "https://files.example/{}.mp4"  # a name that RFC 2606 keeps free


def _words(queued: str, running: str, completed: str, error: str) -> Mapping[State, str]:
    return {"queued": queued, "running": running, "completed": completed, "error": error}


_PLAIN: Final = _words("pending", "pending", "completed", "error")


def _native(job: Subject, word: str) -> Any:
    body: dict[str, Any] = {"id": job.id, "status": word, "progress": job.progress}
    if job.finished_ago is not None:
        body["finished_ago"] = round(job.finished_ago, 6)
    return body


def _heygen(job: Subject, word: str) -> Any:
    data = {
        "video_translate_id": job.id,
        "title": "simulated",
        "status": word,
        "url": _FILE.format(job.id) if job.state == "completed" else None,
        "message": _FAILED if job.state == "error" else None,
    }
    return {"error": None, "data": data}


def _azure(job: Subject, word: str) -> Any:
    body: dict[str, Any] = {"id": job.id, "status": word}
    if job.state == "completed":
        body["result"] = {}
    elif job.state == "error":
        body["error"] = {"code": "JobFailed", "message": _FAILED}
    return body


def _google(job: Subject, word: str) -> Any:
    name = {"name": f"operations/{job.id}"}  # proto3's JSON has no ``done`` while it is false
    if job.state == "completed":
        return {**name, "done": True, word: {"@type": "type.googleapis.com/google.protobuf.Empty"}}
    if job.state == "error":
        return {**name, "done": True, word: {"code": _GOOGLE_INTERNAL, "message": _FAILED}}
    return name


def _openai(job: Subject, word: str) -> Any:
    return {
        "id": job.id,
        "object": "video",
        "created_at": int(job.created),
        "completed_at": None if job.finished is None else int(job.finished),
        "status": word,
        "progress": int(job.progress * 100),
        "model": "sora-2",
        "seconds": "4",
        "size": "720x1280",
        "error": {"code": "job_failed", "message": _FAILED} if job.state == "error" else None,
    }


def _replicate(job: Subject, word: str) -> Any:
    return {
        "id": job.id,
        "model": "simulated/video",
        "version": "simulated",
        "input": {},
        "logs": "",
        "output": _FILE.format(job.id) if job.state == "completed" else None,
        "error": _FAILED if job.state == "error" else None,
        "status": word,
        "created_at": iso(job.created),
        "completed_at": None if job.finished is None else iso(job.finished),
        "urls": {"get": job.url, "cancel": f"{job.url}/cancel"},
    }


_GOOGLE_INTERNAL: Final = 13  # google.rpc.Code
_GOOGLE_CODES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _heygen_refuses(status: int, detail: str, _path: str) -> Any:
    return {"data": None, "error": {"code": title(status).lower().replace(" ", "_"), "message": detail}}


def _azure_refuses(status: int, detail: str, _path: str) -> Any:
    return {"error": {"code": title(status).replace(" ", ""), "message": detail}}


def _google_refuses(status: int, detail: str, _path: str) -> Any:
    return {"error": {"code": status, "message": detail, "status": _GOOGLE_CODES.get(status, "UNKNOWN")}}


def _openai_refuses(status: int, detail: str, _path: str) -> Any:
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    code = "rate_limit_exceeded" if status == HTTPStatus.TOO_MANY_REQUESTS else None
    return {"error": {"message": detail, "type": kind, "param": None, "code": code}}


def _routes(*texts: str) -> tuple[Route, ...]:
    return tuple(map(Route.of, texts))


DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType({
    "native": Dialect(
        source="docs/simulator.md",
        submit=_routes("POST /jobs"),
        status=_routes("GET /jobs/<job_id>", "GET /status?id=<job_id>"),
        words=_PLAIN,
        says=_native,
        accepts=lambda job, word: {"id": job.id, "status": word},
        accepted=202,
        place=lambda job: {"Location": job.path},
        key="key",
        strict=True,
        ago=(),
    ),
    "take-home": Dialect(
        source="HeyGen's take-home task; jobs besides the implicit one are ours",
        submit=_routes("POST /jobs"),
        status=_routes("GET /status?id=<job_id>"),
        words=_PLAIN,
        says=lambda _job, word: {"result": word},
        accepts=lambda job, word: {"id": job.id, "result": word},
        accepted=202,
    ),
    "heygen-v2": Dialect(
        source="docs.heygen.com: Translate Video, Check Video Translation Status",
        submit=_routes("POST /v2/video_translate"),
        status=_routes("GET /v2/video_translate/<job_id>"),
        words=_words("pending", "running", "success", "failed"),
        says=_heygen,
        accepts=lambda job, _word: {"error": None, "data": {"video_translate_id": job.id}},
        refuses=_heygen_refuses,
        refusals=JSON,
    ),
    "azure": Dialect(
        source="Microsoft Azure REST API Guidelines: Long-Running Operations & Jobs",
        submit=_routes("POST /operations"),
        status=_routes("GET /operations/<job_id>"),
        words=_words("NotStarted", "Running", "Succeeded", "Failed"),
        says=_azure,
        accepted=202,
        place=lambda job: {"Operation-Location": job.url},
        refuses=_azure_refuses,
        refusals=JSON,
    ),
    "google-lro": Dialect(
        source="AIP-151; google/longrunning/operations.proto",
        submit=_routes("POST /v1/operations", "POST /v1/<method>"),
        status=_routes("GET /v1/operations/<job_id>"),
        words=_words("", "", "response", "error"),
        says=_google,
        refuses=_google_refuses,
        refusals=JSON,
    ),
    "openai-video": Dialect(
        source="platform.openai.com, API reference: Videos",
        submit=_routes("POST /v1/videos"),
        status=_routes("GET /v1/videos/<job_id>"),
        words=_words("queued", "in_progress", "completed", "failed"),
        says=_openai,
        hint=HintHeader("openai-poll-after-ms", 1000),
        refuses=_openai_refuses,
        refusals=JSON,
    ),
    "replicate": Dialect(
        source="replicate.com/docs, HTTP API: predictions",
        submit=_routes(
            "POST /v1/predictions",
            "POST /v1/models/<owner>/<name>/predictions",
            "POST /v1/deployments/<owner>/<name>/predictions",
        ),
        status=_routes("GET /v1/predictions/<job_id>"),
        words=_words("starting", "processing", "succeeded", "failed"),
        says=_replicate,
        accepted=201,
    ),
})  # fmt: skip
"""The dialects by the names that a scenario's ``service.dialect`` has for them."""
