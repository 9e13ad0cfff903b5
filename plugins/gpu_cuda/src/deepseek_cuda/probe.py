"""The probe: a row for each GPU and MIG instance of this machine, without a CUDA context."""

from __future__ import annotations

import os
from collections.abc import Iterable

import attrs

from deepseek_core import DeviceInfo
from deepseek_cuda.discovery.gpus import Machine
from deepseek_cuda.discovery.host import find_host
from deepseek_cuda.discovery.nvml import machine
from deepseek_cuda.discovery.rows import Host, rows
from deepseek_cuda.discovery.runtime import Runtime, find_runtime
from deepseek_cuda.discovery.visible import View, view


@attrs.frozen(kw_only=True)
class Survey:
    """All that was found out: by NVML, by the kernel, by the environment, by ONNX Runtime."""

    machine: Machine
    host: Host
    view: View
    runtime: Runtime

    @property
    def rows(self) -> list[DeviceInfo]:
        """The devices; one that says why there is none."""
        return list(rows(self.machine, self.view, self.runtime, self.host))


def survey() -> Survey:
    """Look at this machine; what would compute is looked at only where a GPU is visible."""
    found = machine()
    seen = view(found.gpus, os.environ)
    return Survey(
        machine=found,
        host=find_host(),
        view=seen,
        runtime=find_runtime() if seen.units else Runtime(),
    )


def probe() -> Iterable[DeviceInfo]:
    """The rows of `ds-sdk devices`."""
    return survey().rows
