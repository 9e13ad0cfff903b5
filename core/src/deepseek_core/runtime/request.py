"""What a caller wants of a plan."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from deepseek_core.contracts.task import LatencyClass, Workload


@attrs.frozen(kw_only=True)
class Request:
    """How soon, for what, in batches of how many items; stages pinned to devices.

    A run that takes longer than `hang_s` is given up; None: in a stream, what its cost suggests.
    """

    latency: LatencyClass
    workload: Workload
    batch: int
    deadline_s: float | None = None
    hang_s: float | None = None
    pins: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
