"""What layers take on a device, measured one by one through the session's cost history.

A layer is measured at a few channel counts, and what lies between is interpolated (NetAdapt, Yang
et al., ECCV 2018, keeps such a table). The history outlives the process: a layer that was measured
on this device before is not measured again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import pairwise
from typing import Any, Final, Self

import attrs
import numpy as np
import onnx
from onnx import helper, numpy_helper

from deepseek_core import Session, compression, errors

_SHARES: Final = (0.125, 0.25, 0.5, 0.75, 1.0)  # of a layer's channels, where it is measured
_ROUNDS: Final = 5


@attrs.frozen(kw_only=True)
class LayerShape:
    """A convolution; with an empty `kernel` a matrix product of rows.

    `image` is the size of its input without batch and channels.
    """

    in_channels: int
    out_channels: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    groups: int = 1
    image: tuple[int, ...] = ()

    def with_channels(self, in_channels: int, out_channels: int) -> LayerShape:
        """The same layer, narrower; a depthwise one keeps a group for each channel."""
        depthwise = self.groups == self.in_channels > 1
        return attrs.evolve(
            self,
            in_channels=in_channels,
            out_channels=in_channels if depthwise else out_channels,
            groups=in_channels if depthwise else self.groups,
        )


class LayerTable:
    """Seconds of layers on the device of a budget: called with a layer and its channel counts.

    Raises:
        NoDevice: the device is not there.
    """

    def __init__(self, budget: compression.LatencyBudget) -> None:
        self._budget = budget
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
        ins, outs = _points(full_in, shape.groups), _points(full_out, shape.groups)
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
        if shape not in self._known:
            self._known[shape] = self._ask(_model_of(shape))
        return self._known[shape]

    def _ask(self, model: onnx.ModelProto) -> float:
        """What the history knows of this model, else what a calibration finds."""
        graph = self._session.load(model)
        with self._session.plan(graph, latency="realtime", batch=self._budget.batch) as plan:
            (stage, *_) = plan.problem.stages
            known = [c.estimate for c in stage.candidates if c.estimate is not None]
        measured = [estimate for estimate in known if estimate.source == "measured"]
        if measured:
            return min(estimate.seconds for estimate in measured)
        rows = self._session.calibrate(
            graph, latency="realtime", batch=self._budget.batch, rounds=_ROUNDS
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


def _points(full: int, groups: int) -> list[int]:
    """Channel counts to measure at: shares of all, in whole groups."""
    if groups > 1 and groups != full:
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


def _model_of(shape: LayerShape) -> onnx.ModelProto:
    """The layer alone, with a ReLU as it mostly has."""
    draw = np.random.default_rng(0)
    if shape.kernel:
        size: tuple[int, ...] = (
            shape.out_channels,
            shape.in_channels // shape.groups,
            *shape.kernel,
        )
        node = helper.make_node(
            "Conv", ["x", "w"], ["h"], strides=list(shape.stride), group=shape.groups,
            pads=[*shape.padding, *shape.padding],
        )  # fmt: skip
    else:
        size = (shape.in_channels, shape.out_channels)
        node = helper.make_node("MatMul", ["x", "w"], ["h"])
    weight = numpy_helper.from_array(draw.standard_normal(size).astype(np.float32), "w")
    x = helper.make_tensor_value_info("x", 1, ["N", shape.in_channels, *shape.image])
    y = helper.make_tensor_value_info("y", 1, None)
    relu = helper.make_node("Relu", ["h"], ["y"])
    graph = helper.make_graph([node, relu], "layer", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
