"""Conformance tests of this plugin: `ds-sdk check-plugin fpga_opencl` runs them.

They run on the first OpenCL device that the probe finds: a board, an emulator or a CPU runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np

from deepseek_core import Artifact, Operation, Stage, TensorSpec
from deepseek_core.testing import CommandConformance, DeviceCase, DeviceConformance
from deepseek_fpga.operators import DOMAIN
from deepseek_fpga.packing import Array

_WIDTH = 16
_ROWS = 40
_NEIGHBORS = 3
_PROBE: Final = {
    "test_its_probes_leave_the_process_as_it_was": "pyopencl sets PYOPENCL_HOME when imported"
}


class TestOpenCl(DeviceConformance):
    """Matching on an OpenCL device."""

    plugin = "fpga_opencl"
    name = "opencl"
    waivers: ClassVar[dict[str, str]] = {
        **_PROBE,
        "test_using_it_leaves_the_process_as_it_was": "PoCL takes its threads from a variable",
        "test_using_it_writes_only_where_it_may": "pyopencl keeps its invokers in the user's cache",
    }

    def cases(self) -> Sequence[DeviceCase]:
        """Both operators; whole numbers, so that float sums are exact and ties many."""
        draw = np.random.default_rng(3)
        floats = draw.integers(-9, 9, (_ROWS + 5, _WIDTH)).astype(np.float32)
        codes = draw.integers(0, 256, (_ROWS + 5, _WIDTH)).astype(np.uint8)
        return [
            _case("MatchL2", floats, ((floats[_ROWS:, None] - floats[:_ROWS]) ** 2).sum(2)),
            _case("MatchHamming", codes, _differing_bits(codes[_ROWS:, None] ^ codes[:_ROWS])),
        ]


class TestFpga(CommandConformance):
    """The command `ds-sdk fpga`, as far as it needs no tool."""

    plugin = "fpga_opencl"
    name = "fpga"
    waivers = _PROBE
    arguments: ClassVar[list[list[str]]] = [
        [],
        ["report", "--rung", "E4", "--rung", "E5"],
        ["report", "--rung", "E4", "--json"],
    ]


def _differing_bits(different: Array) -> Array:
    distances: Array = np.unpackbits(different, axis=2).sum(2, dtype=np.int32)
    return distances


def _case(operation: str, rows: Array, distances: Array) -> DeviceCase:
    """The last rows are queries, the others the gallery; `distances` are those of all pairs."""
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :_NEIGHBORS]
    constants = {"gallery": rows[:_ROWS], "k": np.array([_NEIGHBORS])}
    return DeviceCase(
        stage=_stage(operation, rows.dtype.name, distances.dtype.name).bind(constants),
        inputs={"query": rows[_ROWS:]},
        expected={
            "indices": nearest.astype(np.int64),
            "distances": np.take_along_axis(distances, nearest, 1),
        },
    )


def _stage(name: str, dtype: str, distance_dtype: str) -> Stage:
    inputs = [
        TensorSpec(name="query", dtype=dtype, shape=("batch", _WIDTH), batch_axis=0),
        TensorSpec(name="gallery", dtype=dtype, shape=("rows", _WIDTH)),
        TensorSpec(name="k", dtype="int64", shape=(1,)),
    ]
    outputs = [
        TensorSpec(name="indices", dtype="int64", shape=("batch", "neighbors"), batch_axis=0),
        TensorSpec(
            name="distances", dtype=distance_dtype, shape=("batch", "neighbors"), batch_axis=0
        ),
    ]
    operation = Operation(name=name, domain=DOMAIN, inputs=inputs, outputs=outputs)
    return Stage(
        name="matching",
        kind="matching",
        operations=[operation],
        inputs=inputs,
        outputs=outputs,
        artifact=Artifact.from_bytes(name.encode(), format="onnx"),
    )
