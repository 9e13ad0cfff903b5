"""The true memory bandwidth of a GPU, by NVML's GPU performance monitoring (GPM)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

_DRAM_BANDWIDTH = 10  # NVML_GPM_METRIC_DRAM_BW_UTIL, in percent


class Bandwidth:
    """Two samples of a GPU's counters, of which each is the other's past in turn.

    `_samples` is empty on a GPU without GPM: then there is no answer, rather than a wrong one.
    """

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle
        self._samples: list[Any] = []
        self._taken = 0
        with suppress(nvml.NVMLError):
            if nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice:
                self._samples = [nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()]

    def read(self) -> float | None:
        """Share of the peak since the last call; None at the first, and where there is no GPM."""
        if not self._samples:
            return None
        nvml = self._nvml
        now = self._taken % 2
        nvml.nvmlGpmSampleGet(self._handle, self._samples[now])
        self._taken += 1
        if self._taken < 2:
            return None
        asked = nvml.c_nvmlGpmMetricsGet_t()
        asked.version, asked.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, 1
        asked.sample1, asked.sample2 = self._samples[1 - now], self._samples[now]
        asked.metrics[0].metricId = _DRAM_BANDWIDTH
        metric = nvml.nvmlGpmMetricsGet(asked).metrics[0]
        return None if metric.nvmlReturn else float(metric.value) / 100
