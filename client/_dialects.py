"""The dialects of well-known services. One row each, plain data as YAML has it; readers need no edit.

Each was written from its service's documentation (``source``). What only our simulator understands is in
none of them but ``native``; ``Dialect.with_truth`` adds it. A dialect is made when it is asked for: the
expressions of some need the package ``jmespath``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ._dialect import NATIVE, Dialect


class _Row(NamedTuple):
    source: str
    submit: Mapping[str, Any]
    status: Mapping[str, Any]


_ROWS: Final[Mapping[str, _Row]] = MappingProxyType({
    "take-home": _Row(
        'HeyGen\'s take-home task: GET /status answers {"result": "pending" | "completed" | "error"} (e.g. '
        "praneetnadella/heygen-translation-sim); POST /jobs and ?id= are our simulator's, for many jobs",
        submit={"path": "/jobs", "accepted": (202,), "location": None},
        status={"path": "/status?id={id}", "implicit": "/status", "state": "result"},
    ),
    "heygen-v2": _Row(
        "docs.heygen.com: Translate Video, Check Video Translation Status; errors come inside HTTP 200",
        submit={
            "path": "/v2/video_translate",
            "accepted": (200,),
            "id": "data.video_translate_id",
            "location": None,
            "problem": "error",
        },
        status={
            "path": "/v2/video_translate/{id}",
            "id": "data.video_translate_id",
            "state": "data.status",
            "pending": ("pending", "running"),
            "completed": ("success",),
            "error": ("failed",),
            "problem": "error",
            "progress": None,
            "finished_ago": None,
        },
    ),
    "azure": _Row(
        "Microsoft Azure REST API Guidelines (azure/Guidelines.md), Long-Running Operations & Jobs: "
        "Operation-Location, status monitor, Retry-After",
        submit={"path": "/operations", "location": {"header": "Operation-Location"}},
        status={
            "path": "/operations/{id}",
            "pending": ("NotStarted", "Running"),
            "completed": ("Succeeded",),
            "error": ("Failed", "Canceled"),
            "progress": None,
            "finished_ago": None,
        },
    ),
    "google-lro": _Row(
        "google/longrunning/operations.proto and AIP-151: name, done (absent while false), error or response",
        submit={"path": "/v1/operations", "accepted": (200,), "id": "name", "location": None},
        status={
            "path": "/v1/{+id}",
            "id": "name",
            "state": "done && (error && 'error' || 'completed')"
            " || (name || metadata || done == `false`) && 'pending' || `null`",
            "progress": None,
            "finished_ago": None,
        },
    ),
    "openai-video": _Row(
        "platform.openai.com, API reference, Videos (openai-python: resources/videos.py, types/video.py): "
        "openai-poll-after-ms",
        submit={"path": "/v1/videos", "accepted": (200,), "location": None},
        status={
            "path": "/v1/videos/{id}",
            "pending": ("queued", "in_progress"),
            "completed": ("completed",),
            "error": ("failed",),
            "progress": None,
            "finished_ago": None,
            "finished_at": "completed_at",
        },
    ),
    "replicate": _Row(
        "replicate.com/docs, HTTP API: predictions.create, predictions.get; the prediction's urls.get",
        submit={"path": "/v1/predictions", "location": {"body": "urls.get"}},
        status={
            "path": "/v1/predictions/{id}",
            "pending": ("starting", "processing"),
            "completed": ("succeeded",),
            "error": ("failed", "canceled", "aborted"),
            "progress": None,
            "finished_ago": None,
            "finished_at": "completed_at",
        },
    ),
})  # fmt: skip


class _Dialects(Mapping[str, Dialect]):
    def __init__(self) -> None:
        self._made: dict[str, Dialect] = {"native": NATIVE}

    def __getitem__(self, name: str) -> Dialect:
        if name not in self._made:
            source, submit, status = _ROWS[name]
            self._made[name] = Dialect.of({"submit": submit, "status": status}, name=name, source=source)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("native", *_ROWS))

    def __len__(self) -> int:
        return len(_ROWS) + 1


DIALECTS: Final[Mapping[str, Dialect]] = _Dialects()
"""The dialects by name: ``DIALECTS["azure"]``; ``source`` of each says where it is documented."""
