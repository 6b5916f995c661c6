"""Figures of a sweep for other programs: as Prometheus reads them, and as OpenTelemetry sends them.

Both are read off the same rows, ``LIVE_FIGURES`` of each setting and ``_SWEEP_FIGURES``; names follow each
side's customs (``backoff_detection_lag_mean_seconds``; ``backoff.detection_lag.mean`` in ``s``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from harness.live._so_far import LIVE_FIGURES, LiveFigure
from harness.live._sweep import SweepNow

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SWEEP_FIGURES: Final = {
    "progress": LiveFigure("Progress", "progress", "Share of the sweep's time that is over"),
    "eta_s": LiveFigure("Time left", "time_left", "Until the sweep is over", "s"),
}


class _Series(NamedTuple):
    """A figure with its values now, each of what its labels say; unknown ones are left out."""

    figure: LiveFigure
    labels: tuple[str, ...]
    values: list[tuple[tuple[str, ...], float]]


def _series(at: SweepNow) -> Iterator[_Series]:
    for key, figure in _SWEEP_FIGURES.items():
        yield _known(figure, ("scenario",), [((at.scenario,), getattr(at, key))])
    for key, figure in LIVE_FIGURES.items():
        values = [((at.scenario, each.setting), getattr(each, key)) for each in at.settings]
        yield _known(figure, ("scenario", "setting"), values)


def _known(
    figure: LiveFigure, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float | None]]
) -> _Series:
    return _Series(figure, labels, [(of, float(value)) for of, value in values if value is not None])


def as_prometheus(at: SweepNow) -> bytes:
    """Return the figures in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(at))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, at: SweepNow) -> None:
        self._at = at

    def collect(self) -> Iterable[Metric]:
        for figure, labels, values in _series(self._at):
            unit = "seconds" if figure.unit == "s" else ""
            name = f"backoff_{figure.metric.replace('.', '_')}"
            kind = CounterMetricFamily if figure.grows else GaugeMetricFamily
            family = kind(name, f"{figure.words}.", labels=labels, unit=unit)
            for of, value in values:
                family.add_metric(of, value)
            yield family


def send_by_opentelemetry(look: Callable[[], SweepNow], meter: Meter | None = None) -> None:
    """Have the figures read whenever the meters are that Locust's ``--otel`` has set up, and then sent.

    Where to, the standard variables say (``OTEL_EXPORTER_OTLP_ENDPOINT``...); it is this machine otherwise.
    Without OpenTelemetry Locust has said so, and nothing is sent. meter: instead of Locust's provider's.
    """
    if find_spec("opentelemetry") is None:
        return
    from opentelemetry.metrics import Observation, get_meter

    def observe(place: int, _options: Any) -> list[Observation]:
        _, labels, values = list(_series(look()))[place]
        return [Observation(value, dict(zip(labels, of, strict=True))) for of, value in values]

    meter = meter or get_meter("backoff")
    for place, (figure, _, _) in enumerate(_series(look())):
        create = meter.create_observable_counter if figure.grows else meter.create_observable_gauge
        create(f"backoff.{figure.metric}", [partial(observe, place)], figure.unit, figure.words)
