"""Other people's clients, unmodified, against the simulator that speaks their service's language.

Most tests share one clock, which moves only while somebody sleeps: the number of polls that the server
counted is then exactly what the SDK's documented cadence makes of a job of 4 s. One test for each runs
through a real socket, against `python -m server`, whose scenario it swaps for one of its own dialect.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import httpx2
import pytest
import replicate
import requests
from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import RequestIdPolicy, RetryPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LROBasePolling
from azure.core.rest import HttpRequest
from google.api_core.exceptions import InternalServerError, TooManyRequests
from google.api_core.operation import Operation, from_gapic
from google.api_core.operations_v1 import AbstractOperationsClient, OperationsRestTransport
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format
from openai import APIStatusError, OpenAI
from replicate.exceptions import ModelError, ReplicateError
from sdk_parts import Clock, InProcess, Service, clock, in_process
from test_server_process import serving

__all__ = ["clock"]  # the fixture

HERE = "http://127.0.0.1"
OUTAGE = {"start": 1, "length": 1}  # seconds; the polls at 0 and 4 s are outside of it
DOWN = {**OUTAGE, "status": 503}
BUSY = {**OUTAGE, "status": 429}

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")


@pytest.fixture
def upper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every jitter is at its upper bound, so that counts are exact."""
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    monkeypatch.setattr(random, "choice", lambda options: max(options))


# --- azure-core -----------------------------------------------------------------------------------------


def azure(base: str, session: requests.Session, interval: float = 30) -> LROPoller[Any]:
    """What the generated client of an Azure service does: submit, then poll, through one pipeline."""
    transport = RequestsTransport(session=session, session_owner=False)
    client: Any = PipelineClient(base, policies=[RequestIdPolicy(), RetryPolicy()], transport=transport)
    first = client._pipeline.run(HttpRequest("POST", f"{base}/operations", json={"video": "x"}))
    return LROPoller(
        client, first, lambda reply: reply.http_response.json(), LROBasePolling(timeout=interval)
    )


def azure_here(service: Service, interval: float = 30) -> LROPoller[Any]:
    return azure(HERE, in_process(service.app), interval)


@pytest.mark.parametrize(
    ("retry_after", "interval", "polls"),
    [
        ("none", 30, 2),  # at once, and after the default interval
        ("none", 1, 5),
        (2, 30, 3),  # the hint takes the interval's place: 0, 2, 4 s
    ],
)
def test_azure_core_completes_a_job(clock: Clock, retry_after: object, interval: float, polls: int) -> None:
    """Polls come at once and then by the service's Retry-After, or the client's interval without one."""
    service = Service("azure", clock=clock, retry_after=retry_after)
    poller = azure_here(service, interval)
    assert poller.result()["status"] == "Succeeded"
    assert poller.status() == "Succeeded"
    assert service.replies == {"200": polls}


def test_azure_core_learns_that_a_job_failed(clock: Clock) -> None:
    """The operation's own error reaches the caller, code and message."""
    service = Service("azure", clock=clock, job={"error_rate": 1})
    with pytest.raises(HttpResponseError, match=r"\(JobFailed\) the job failed"):
        azure_here(service, 1).result()
    assert service.replies == {"200": 5}


@pytest.mark.parametrize("outage", [DOWN, BUSY])
def test_azure_core_retries_a_poll_that_fails(clock: Clock, outage: Any) -> None:
    """A 503 or 429 is sent again after 0 s, 1.6 s...: 0; 1, 1; 2.6, 3.6, 4.6 s."""
    service = Service("azure", clock=clock, outages=[outage])
    assert azure_here(service, 1).result()["status"] == "Succeeded"
    assert service.replies == {"200": 4, str(outage["status"]): 2}


# --- google-api-core ------------------------------------------------------------------------------------


class Google(NamedTuple):
    """What a generated client of a Google service does, with the binding of operations.proto."""

    base: str
    adapter: Any = None

    def operation(self, **polling: Any) -> Operation:
        binding = {"method": "get", "uri": "/v1/{name=operations/*}"}
        transport = OperationsRestTransport(
            host=self.base,
            credentials=AnonymousCredentials(),
            http_options={"google.longrunning.Operations.GetOperation": [binding]},
        )
        session = transport._session
        if self.adapter is not None:
            session.mount("http://", self.adapter)
        first = session.post(f"{self.base}/v1/videos:translate", json={})
        operation = json_format.Parse(first.content, operations_pb2.Operation())
        client = AbstractOperationsClient(transport=transport)
        return from_gapic(operation, client, empty_pb2.Empty, grpc_metadata=(), **polling)


def google_here(service: Service) -> Operation:
    return Google(HERE, InProcess(service.app)).operation()


@pytest.mark.usefixtures("upper")
def test_google_api_core_completes_a_job(clock: Clock) -> None:
    """At once, then after at most 1, 1.5, 2.25 s: four polls until 4.75 s."""
    service = Service("google-lro", clock=clock)
    operation = google_here(service)
    assert operation.result() == empty_pb2.Empty()
    assert operation.operation.name.startswith("operations/")
    assert service.replies == {"200": 4}


@pytest.mark.usefixtures("upper")
def test_google_api_core_learns_that_a_job_failed(clock: Clock) -> None:
    """The operation's google.rpc.Status becomes the exception of its code, INTERNAL."""
    service = Service("google-lro", clock=clock, job={"error_rate": 1})
    with pytest.raises(InternalServerError, match="the job failed"):
        google_here(service).result()
    assert service.replies == {"200": 4}


@pytest.mark.usefixtures("upper")
def test_google_api_core_retries_a_503(clock: Clock) -> None:
    """UNAVAILABLE is asked again after at most 0.5 and 1 s: 0; 1, 1.5; 2.5, 4 s."""
    service = Service("google-lro", clock=clock, outages=[DOWN])
    assert google_here(service).result() == empty_pb2.Empty()
    assert service.replies == {"200": 3, "503": 2}


@pytest.mark.usefixtures("upper")
def test_google_api_core_gives_up_at_a_429(clock: Clock) -> None:
    """RESOURCE_EXHAUSTED is not among what it retries: the first one ends the wait, while the job runs."""
    service = Service("google-lro", clock=clock, outages=[BUSY])
    with pytest.raises(TooManyRequests, match="too many status requests"):
        google_here(service).result()
    assert service.replies == {"200": 1, "429": 1}


# --- openai ---------------------------------------------------------------------------------------------


def openai_here(service: Service) -> OpenAI:
    transport = httpx2.WSGITransport(app=service.app)
    return OpenAI(api_key="none", base_url=f"{HERE}/v1", http_client=httpx2.Client(transport=transport))


@pytest.mark.parametrize(("retry_after", "polls"), [("none", 5), (2, 3), ("eta", 2)])
def test_openai_completes_a_job(clock: Clock, retry_after: object, polls: int) -> None:
    """Polls come at once and then each second, or as `openai-poll-after-ms` of the first reply says."""
    service = Service("openai-video", clock=clock, retry_after=retry_after)
    video = openai_here(service).videos.create_and_poll(prompt="x")
    assert (video.status, video.progress, video.error) == ("completed", 100, None)
    assert video.completed_at is not None
    assert video.completed_at - video.created_at in (3, 4, 5)  # whole seconds of the wall clock
    assert service.replies == {"200": polls}


def test_openai_learns_that_a_job_failed(clock: Clock) -> None:
    """The video comes back as failed, with the reason."""
    service = Service("openai-video", clock=clock, job={"error_rate": 1})
    video = openai_here(service).videos.create_and_poll(prompt="x")
    assert video.error is not None
    assert (video.status, video.error.code) == ("failed", "job_failed")
    assert service.replies == {"200": 5}


@pytest.mark.parametrize("outage", [DOWN, BUSY])
def test_openai_retries_a_poll_that_fails(clock: Clock, outage: Any) -> None:
    """Twice, after 0.375 to 0.5 and 0.75 to 1 s: 0; 1, 1.5; 2.5, 3.5, 4.5 s."""
    service = Service("openai-video", clock=clock, outages=[outage])
    assert openai_here(service).videos.create_and_poll(prompt="x").status == "completed"
    assert service.replies == {"200": 4, str(outage["status"]): 2}


def test_openai_reads_the_services_own_words_when_it_gives_up(clock: Clock) -> None:
    """Two retries do not outlast a long outage; the error has OpenAI's shape, so its message arrives."""
    service = Service("openai-video", clock=clock, outages=[{"start": 1, "length": 9, "status": 503}])
    with pytest.raises(APIStatusError, match="a failure that the scenario asks for") as failed:
        openai_here(service).videos.create_and_poll(prompt="x")
    assert failed.value.type == "server_error"
    assert service.replies == {"200": 1, "503": 3}


# --- replicate ------------------------------------------------------------------------------------------


def replicate_here(service: Service) -> replicate.Client:
    return replicate.Client("none", base_url=HERE, transport=httpx.WSGITransport(app=service.app))


def run_model(client: replicate.Client) -> Any:
    return client.run("owner/name", input={"prompt": "x"}, use_file_output=False)


def create_and_wait(client: replicate.Client) -> Any:
    prediction = client.predictions.create(version="v", input={"prompt": "x"})
    prediction.wait()
    return prediction.output


@pytest.mark.parametrize("use", [run_model, create_and_wait])
def test_replicate_completes_a_job(clock: Clock, use: Callable[[replicate.Client], Any]) -> None:
    """Every half second, by both ways to start: eight polls until 4 s."""
    service = Service("replicate", clock=clock)
    assert use(replicate_here(service)).startswith("https://files.example/")
    assert service.replies == {"200": 8}


def test_replicate_learns_that_a_job_failed(clock: Clock) -> None:
    """`run` raises, with the reason."""
    service = Service("replicate", clock=clock, job={"error_rate": 1})
    with pytest.raises(ModelError, match="the job failed"):
        run_model(replicate_here(service))
    assert service.replies == {"200": 8}


@pytest.mark.usefixtures("upper")
@pytest.mark.parametrize(
    ("outage", "replies"),
    [
        (DOWN, {"200": 5, "503": 4}),  # again after 0.11, 0.22, 0.44, 0.88 s: 2.65, 3.15, 3.65, 4.15 s
        ({**BUSY, "retry_after": 2}, {"200": 4, "429": 1}),  # again after 2 s: 3, 3.5, 4 s
    ],
)
def test_replicate_retries_a_poll_that_fails(clock: Clock, outage: Any, replies: dict[str, int]) -> None:
    """By its own backoff, or as Retry-After says."""
    service = Service("replicate", clock=clock, outages=[outage])
    assert run_model(replicate_here(service)) is not None
    assert service.replies == replies


def test_replicate_reads_an_error_as_the_problem_it_is(clock: Clock) -> None:
    """What Replicate refuses is a problem document; title and detail arrive."""
    with pytest.raises(ReplicateError) as refused:
        replicate_here(Service("replicate", clock=clock)).predictions.get("nope")
    assert (refused.value.title, refused.value.status) == ("Not Found", 404)
    assert refused.value.detail is not None
    assert "POST /v1/predictions" in refused.value.detail


# --- through a socket -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served() -> Iterator[Callable[[str], str]]:
    """Have one real server speak a dialect, with jobs of 0.25 s; return its address."""
    with serving("--duration", "1h", BACKOFF_ADMIN_TOKEN="token") as server:
        base = f"http://127.0.0.1:{server.port}"
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = "Bearer token"

        def speak(dialect: str) -> str:
            simulation = {"job": {"duration": "250ms"}, "service": {"dialect": dialect}}
            session.put(f"{base}/admin/scenario", json=simulation, timeout=10).raise_for_status()
            return base

        yield speak
        session.close()


def replies(base: str) -> dict[str, int]:
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": "Bearer token"}
        counters = session.get(f"{base}/admin/counters", headers=headers, timeout=10).json()
    return dict(counters["replies"])


def by_azure(base: str) -> str:
    with requests.Session() as session:
        session.trust_env = False
        return str(azure(base, session, 0.1).result()["status"])


def by_google(base: str) -> str:
    polling = Retry(predicate=lambda _error: True, initial=0.1, maximum=0.1, timeout=20)
    return type(Google(base).operation(polling=polling).result()).__name__


def by_openai(base: str) -> str:
    with OpenAI(api_key="none", base_url=f"{base}/v1", http_client=httpx2.Client(trust_env=False)) as client:
        return client.videos.create_and_poll(prompt="x", poll_interval_ms=100).status


def by_replicate(base: str) -> str:
    client = replicate.Client("none", base_url=base, trust_env=False)
    client.poll_interval = 0.1
    return str(run_model(client)).partition("//")[2].partition("/")[0]


@pytest.mark.parametrize(
    ("dialect", "use", "end"),
    [
        ("azure", by_azure, "Succeeded"),
        ("google-lro", by_google, "Empty"),
        ("openai-video", by_openai, "completed"),
        ("replicate", by_replicate, "files.example"),
    ],
)
def test_each_completes_a_job_through_a_real_socket(
    served: Callable[[str], str], dialect: str, use: Callable[[str], str], end: str
) -> None:
    """Against the host that ships, after a swap of the scenario that changes the language."""
    base = served(dialect)
    assert use(base) == end
    assert list(replies(base)) == ["200"]
