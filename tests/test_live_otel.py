"""A live run whose figures are sent by OpenTelemetry's own exporter, as Locust's ``--otel`` sets it up."""

from __future__ import annotations

import gzip
import os
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import polars as pl
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from test_end_to_end import LOCUST, arguments, only_run, run, scenario  # noqa: F401  # a fixture


class Collector(ThreadingHTTPServer):
    """What takes OTLP over HTTP; it keeps the last value of each figure, setting by setting."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.latest: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self.units: dict[str, str] = {}
        self.paths: set[str] = set()

    def take(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        request = ExportMetricsServiceRequest.FromString(body)
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in (each for each in scope.metrics if each.name.startswith("backoff.")):
                    self.units[metric.name] = metric.unit
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        labels = {each.key: each.value.string_value for each in point.attributes}
                        self.latest[metric.name][labels.get("setting", "")] = point.as_double


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.take(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] else body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.slow
def test_a_collector_is_told_what_the_report_says(scenario: Path) -> None:  # noqa: F811
    """Over HTTP, by the documented variables: the last figures are those of the run's rows."""
    with Collector() as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        told = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        done = run([*LOCUST, "--otel", *arguments(scenario)], env=os.environ | told)
        collector.shutdown()
    assert done.returncode in (0, 1), done.stderr
    results, rows = only_run(scenario)
    jobs = pl.DataFrame(rows).group_by("setting").agg(jobs=pl.len(), polls=pl.col("polls").cast(int).sum())
    counted = {name: (float(n), float(polls)) for name, n, polls in jobs.rows()}
    assert collector.paths == {"/v1/metrics"}
    submitted, polls = (collector.latest[f"backoff.{name}"] for name in ("jobs.submitted", "polls"))
    assert {name: (submitted[name], polls[name]) for name in submitted} == counted
    for name, each in results["settings"].items():
        lag = collector.latest["backoff.detection_lag.mean"][name]
        # The report adds the reply's way back, some milliseconds.
        assert lag == pytest.approx(each["detection_lag_s"]["mean"], abs=0.05)
    assert collector.units["backoff.detection_lag.mean"] == "s"
