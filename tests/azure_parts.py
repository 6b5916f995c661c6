"""azure-core's view of an operation, for tests that let its own poller run."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from azure.core.pipeline import PipelineResponse
from azure.core.polling.base_polling import LongRunningOperation, LROBasePolling
from azure.core.rest import HttpRequest


class AzureOperation(LongRunningOperation):
    """The part of an Azure operation that a service defines; ``finished`` is asked at each poll."""

    def __init__(self, finished: Callable[[], bool]) -> None:
        self._finished = finished

    def can_poll(self, _pipeline_response: Any) -> bool:
        return True

    def get_polling_url(self) -> str:
        return "http://service/operations/1"

    def set_initial_status(self, _pipeline_response: Any) -> str:
        return "InProgress"

    def get_status(self, _pipeline_response: Any) -> str:
        return "Succeeded" if self._finished() else "InProgress"

    def get_final_get_url(self, _pipeline_response: Any) -> None:
        return None


def poll_with(
    method: LROBasePolling[Any, Any, Any], finished: Callable[[], bool], sleep: Callable[[float], object]
) -> None:
    """Let azure-core's own method poll, over a transport that answers everything with 200."""
    request = HttpRequest("GET", "http://service/operations/1")
    answer: Any = SimpleNamespace(status_code=200, request=request, headers={}, content=b"{}")
    replied: Any = PipelineResponse(request, answer, SimpleNamespace())
    client: Any = SimpleNamespace(
        _pipeline=SimpleNamespace(_transport=SimpleNamespace(sleep=sleep), run=lambda *_a, **_k: replied),
        send_request=lambda *_a, **_k: replied,
        get=lambda _url: request,
    )
    method._lro_algorithms = [AzureOperation(finished)]
    method.initialize(client, replied, lambda _response: "done")
    method._operation_config["request_id"] = "1"
    method.run()
