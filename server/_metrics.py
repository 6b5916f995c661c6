"""The simulator's counters in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server._simulator import Simulator

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def render(simulator: Simulator) -> bytes:
    """Return the text of ``GET /metrics``."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Activity(simulator))
    return generate_latest(registry)


class _Activity(Collector):
    """Reads the counters when asked instead of keeping a second set of them."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def collect(self) -> Iterable[Metric]:
        counted, _, in_flight = self._simulator.activity()
        yield CounterMetricFamily("simulator_submissions", "Jobs submitted.", counted.submissions)
        yield CounterMetricFamily("simulator_status_requests", "Status requests.", counted.polls)
        replies = CounterMetricFamily(
            "simulator_status_replies",
            "Replies to status requests, by status code or 'reset'.",
            labels=["code"],
        )
        for code, count in counted.replies.items():
            replies.add_metric([code], count)
        yield replies
        yield CounterMetricFamily(
            "simulator_busy_seconds",
            "Seconds that workers spent on requests, and on jobs that share them.",
            counted.busy_seconds,
        )
        yield GaugeMetricFamily(
            "simulator_requests_in_flight", "Requests waiting for their reply.", in_flight
        )
        yield CounterMetricFamily(
            "process_cpu_seconds", "User and system CPU time spent.", self._simulator.cpu_seconds()
        )
