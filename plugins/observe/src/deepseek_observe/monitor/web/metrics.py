"""The last sample as Prometheus reads it, from a registry of our own."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from deepseek_observe.monitor.families import FAMILIES, Series
from deepseek_observe.monitor.sample import Sample


class Metrics:
    """Collects from the sample that was taken last; none yet: nothing."""

    def __init__(self) -> None:
        self._sample: Sample | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def take(self, sample: Sample) -> None:
        """Answer with this one from now on."""
        self._sample = sample

    def text(self, accept: str) -> tuple[bytes, str]:
        """What a scraper gets, in the format that it asked for, and that format's name."""
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def collect(self) -> Iterable[Metric]:
        """Families with their values; those without any are left out."""
        sample = self._sample
        if sample is None:
            return
        by_family: dict[str, list[tuple[Series, float]]] = {}
        for series, value in sample.values.items():
            by_family.setdefault(series[0], []).append((series, value))
        for name, family in FAMILIES.items():
            if name in by_family:
                kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                found = kind(name, family.help, labels=family.labels)
                for (_, labels), value in by_family[name]:
                    found.add_metric(labels, value)
                yield found
