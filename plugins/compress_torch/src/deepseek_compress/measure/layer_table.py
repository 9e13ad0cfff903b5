"""What layers take on a device, measured one by one through the session's cost history.

A layer is measured at a few channel counts, and what lies between is interpolated (NetAdapt, Yang
et al., ECCV 2018, keeps such a table). The history outlives the process: a layer that was measured
on this device before is not measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import pairwise
from typing import Any, Final, Self

import onnx

from deepseek_compress.measure.layer_models import LayerShape, float_layer, int8_layer
from deepseek_core import Session, compression, errors

_SHARES: Final = (0.125, 0.25, 0.5, 0.75, 1.0)  # of a layer's channels, where it is measured
_ROUNDS: Final = 5
_MORE_ROUNDS: Final = 25  # of layers that take less than what disturbs them
_SMALL_MACS: Final = 10**7
_TRIVIAL: Final = LayerShape(in_channels=1, out_channels=1)


class LayerTable:
    """Seconds of layers on the device of a budget: called with a layer and its channel counts.

    `make` says which model stands for a layer: `float_layer` or `int8_layer`. What a run costs
    whatever it computes (`run_s`) is not a part of a layer: a model has it once.

    Raises:
        NoDevice: the device is not there.
    """

    def __init__(
        self,
        budget: compression.LatencyBudget,
        make: Callable[[LayerShape], onnx.ModelProto] = float_layer,
    ) -> None:
        self._budget, self._make = budget, make
        self._stack = ExitStack()
        self._session = self._stack.enter_context(
            Session(threads=budget.threads, devices=[budget.device])
        )
        self._known: dict[LayerShape, float] = {}

    def __call__(self, layer: Mapping[str, Any]) -> float:
        """Seconds of one layer: fields of `LayerShape`, and `full_in` and `full_out` channels.

        Between the channel counts that are measured it is interpolated bilinearly.
        """
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in layer.items()
            if not name.startswith("full_")
        }
        shape = LayerShape(**fields)
        full_in = layer.get("full_in", shape.in_channels)
        full_out = layer.get("full_out", shape.out_channels)
        whole = shape.groups > 1 and not shape.is_depthwise
        ins, outs = _points(full_in, whole=whole), _points(full_out, whole=whole)
        low_in, high_in, part_in = _between(ins, shape.in_channels)
        low_out, high_out, part_out = _between(outs, shape.out_channels)
        corners = [
            self._measured(shape.with_channels(i, o))
            for i in (low_in, high_in)
            for o in (low_out, high_out)
        ]
        low = corners[0] * (1 - part_out) + corners[1] * part_out
        high = corners[2] * (1 - part_out) + corners[3] * part_out
        return low * (1 - part_in) + high * part_in

    def _measured(self, shape: LayerShape) -> float:
        return max(self._whole_s(shape) - self.run_s, 0.0)

    @property
    def in_integers(self) -> bool:
        """Whether its layers run in int8."""
        return self._make is int8_layer

    @property
    def run_s(self) -> float:
        """Seconds of a run that computes next to nothing."""
        return self._whole_s(_TRIVIAL)

    def _whole_s(self, shape: LayerShape) -> float:
        if shape not in self._known:
            rounds = _ROUNDS if shape.macs > _SMALL_MACS else _MORE_ROUNDS
            self._known[shape] = self._ask(self._make(shape), rounds)
        return self._known[shape]

    def _ask(self, model: onnx.ModelProto, rounds: int) -> float:
        """What the history knows of this model, else what a calibration finds."""
        graph = self._session.load(model)
        with self._session.plan(graph, latency="realtime", batch=self._budget.batch) as plan:
            (stage, *_) = plan.problem.stages
            known = [c.estimate for c in stage.candidates if c.estimate is not None]
        measured = [estimate for estimate in known if estimate.source == "measured"]
        if measured:
            return min(estimate.seconds for estimate in measured)
        rows = self._session.calibrate(
            graph, latency="realtime", batch=self._budget.batch, rounds=rounds
        )
        seconds = [row.seconds for row in rows if row.seconds is not None]
        if not seconds:
            raise errors.NoDevice(
                f"no layer could be measured on {self._budget.device}",
                refusals={row.device_id: row.error for row in rows},
                remedy="ds-sdk devices",
            )
        return min(seconds)

    def close(self) -> None:
        """Close the session."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _points(full: int, *, whole: bool) -> list[int]:
    """Channel counts to measure at: shares of all, or all of them."""
    if whole:
        return [full]
    return sorted({max(round(full * share), 1) for share in _SHARES})


def _between(points: list[int], count: int) -> tuple[int, int, float]:
    """The neighbors of a count, and how far it lies between them."""
    if count <= points[0]:
        return points[0], points[0], 0.0
    for low, high in pairwise(points):
        if count <= high:
            return low, high, (count - low) / (high - low)
    return points[-1], points[-1], 0.0
