"""A user's model as a graph of stages that meet by tensor name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.errors import GraphError, TensorMismatch
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.contracts.tensor import BATCH, TensorSpec
from deepseek_core.contracts.units import as_names, check_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    Array = Any


# Typed converters: a bare `tuple` would leave the element type unknown to type checkers.
def _specs(values: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(values)


def _operations(values: Iterable[Operation]) -> tuple[Operation, ...]:
    return tuple(values)


def _stages(values: Iterable[Stage]) -> tuple[Stage, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Operation:
    """One operator of a model, as a device is asked whether it supports it.

    `domain` is empty for the standard ONNX operators; `version` is the opset's. An optional
    input that is left out is a spec with an empty name. Where the operation has a body of
    standard operators, `attributes["model_local_functions"]` holds it as serialized ONNX
    FunctionProtos, its own first, so that a device without a kernel for it can judge the body.
    """

    name: str
    domain: str = ""
    version: int = 0
    inputs: tuple[TensorSpec, ...] = attrs.field(default=(), converter=_specs)
    outputs: tuple[TensorSpec, ...] = attrs.field(default=(), converter=_specs)
    attributes: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def qualified_name(self) -> str:
        """`Conv`, or `ai.deepseek::MatchL2` outside of the standard domain."""
        return f"{self.domain}::{self.name}" if self.domain else self.name


@attrs.frozen(kw_only=True)
class Work:
    """What one run of a stage must do: a fixed part and a part for each item of the batch."""

    flops_per_item: float = attrs.field(default=0.0, validator=check_finite)
    bytes_per_item: float = attrs.field(default=0.0, validator=check_finite)
    fixed_bytes: float = attrs.field(default=0.0, validator=check_finite)

    def flops(self, batch: int) -> float:
        """Floating-point (or integer) operations of one run."""
        return self.flops_per_item * batch

    def nbytes(self, batch: int) -> float:
        """Bytes that one run moves: weights once, tensors for each item."""
        return self.fixed_bytes + self.bytes_per_item * batch


@attrs.frozen(kw_only=True, eq=False)
class Stage:
    """A node of the graph: what a device loads and runs as one.

    `inputs` arrive with each run, `constants` (name -> array) stay the same and are
    bound when the stage is loaded. `artifact` holds the operations in a device-neutral format.
    """

    name: str
    kind: str
    operations: tuple[Operation, ...] = attrs.field(converter=_operations)
    inputs: tuple[TensorSpec, ...] = attrs.field(converter=_specs)
    outputs: tuple[TensorSpec, ...] = attrs.field(converter=_specs)
    artifact: Artifact
    constants: Mapping[str, Array] = attrs.field(factory=dict, repr=False)
    work: Work = Work()
    batched: bool = True

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of artifact, interface and constants."""
        from hashlib import sha256  # start-up: listing plugins needs no digest

        digest = sha256(self.artifact.fingerprint.encode())
        digest.update("|".join(map(str, (*self.inputs, *self.outputs))).encode())
        for name, value in sorted(self.constants.items()):
            digest.update(f"{name}:{value.dtype}:{value.shape}".encode())
            digest.update(value.data if value.size else b"")
        return digest.hexdigest()

    def bind(self, constants: Mapping[str, Array]) -> Stage:
        """The same stage with some of its inputs fixed to the given arrays.

        Raises:
            TensorMismatch: an array does not fit its input.
        """
        import numpy as np

        mine = {s.name: s for s in self.inputs if s.name in constants}
        if not mine:
            return self
        symbols: dict[str, int] = {}
        values = {name: np.asarray(constants[name], order="C") for name in mine}
        for name, spec in mine.items():
            spec.bind(values[name], symbols)
        if BATCH in symbols:
            raise TensorMismatch(f"stage {self.name!r}: a constant can't fix the batch dimension")
        return attrs.evolve(
            self,
            inputs=tuple(s for s in self.inputs if s.name not in mine),
            constants={**self.constants, **values},
        )


@attrs.frozen(kw_only=True)
class Task:
    """A stage on one batch of `batch` items: what a device is asked to estimate."""

    stage: Stage
    batch: int = 1
    latency: LatencyClass = LatencyClass.OFFLINE
    workload: Workload = Workload.INFERENCE
    deadline_s: float | None = None


@attrs.frozen(kw_only=True, eq=False)
class Graph:
    """Stages in topological order; a tensor's name joins its producer to its consumers.

    `outputs` names the tensors that a run returns.
    """

    name: str
    stages: tuple[Stage, ...] = attrs.field(converter=_stages)
    outputs: tuple[str, ...] = attrs.field(converter=as_names)

    def __attrs_post_init__(self) -> None:
        _check_names(self.stages)
        _check_order(self.stages)
        missing = [name for name in self.outputs if name not in self.producers]
        if missing:
            raise GraphError(f"graph {self.name!r}: no stage makes the outputs {missing}")

    @cached_property
    def producers(self) -> Mapping[str, str]:
        """Tensor name -> name of the stage that makes it."""
        return {spec.name: stage.name for stage in self.stages for spec in stage.outputs}

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the caller must pass in, in order of first use."""
        made, seen = self.producers, dict[str, TensorSpec]()
        for stage in self.stages:
            for spec in stage.inputs:
                if spec.name not in made:
                    seen.setdefault(spec.name, spec)
        return tuple(seen.values())

    @cached_property
    def output_specs(self) -> tuple[TensorSpec, ...]:
        """Specs of the tensors that a run returns."""
        specs = {spec.name: spec for stage in self.stages for spec in stage.outputs}
        return tuple(specs[name] for name in self.outputs)

    def stage(self, name: str) -> Stage:
        """The stage of that name.

        Raises:
            GraphError: there is none.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        known = ", ".join(s.name for s in self.stages)
        raise GraphError(f"graph {self.name!r} has no stage {name!r}; it has {known}")

    def predecessors(self, stage: Stage) -> tuple[str, ...]:
        """Names of the stages whose tensors this one reads."""
        made = self.producers
        return tuple(dict.fromkeys(made[s.name] for s in stage.inputs if s.name in made))

    def bind(self, **constants: Array) -> Graph:
        """The same graph with some of its inputs fixed (a gallery, a `k`).

        Raises:
            TensorMismatch: no input of that name, or an array that does not fit.
        """
        known = {spec.name for spec in self.inputs}
        for name in constants:
            if name not in known:
                raise TensorMismatch(
                    f"graph {self.name!r} has no input {name!r} to fix; "
                    f"its inputs are {', '.join(sorted(known))}"
                )
        return attrs.evolve(self, stages=tuple(s.bind(constants) for s in self.stages))

    def until(self, *outputs: str) -> Graph:
        """The part of the graph that makes the given tensors.

        Raises:
            GraphError: no stage makes one of them.
        """
        wanted = set(outputs)
        kept: list[Stage] = []
        for stage in reversed(self.stages):
            if wanted & {spec.name for spec in stage.outputs}:
                kept.append(stage)
                wanted |= {spec.name for spec in stage.inputs}
        return attrs.evolve(self, stages=tuple(reversed(kept)), outputs=outputs)

    def check_inputs(self, inputs: Mapping[str, Array]) -> int:
        """Check a run's inputs against the specs and return the batch's number of items.

        Raises:
            TensorMismatch: one is missing, unknown, or has another dtype or shape.
        """
        symbols: dict[str, int] = {}
        for spec in self.inputs:
            if spec.name not in inputs:
                raise TensorMismatch(
                    f"input {spec.name!r} is missing; given: {', '.join(inputs) or 'nothing'}",
                    remedy=f"pass {spec}",
                )
            spec.bind(inputs[spec.name], symbols)
        unknown = set(inputs) - {spec.name for spec in self.inputs}
        if unknown:
            raise TensorMismatch(
                f"graph {self.name!r} has no input {sorted(unknown)[0]!r}",
                remedy=f"its inputs are {', '.join(str(s) for s in self.inputs)}",
            )
        return symbols.get(BATCH, 1)


def _check_names(stages: Sequence[Stage]) -> None:
    if not stages:
        raise GraphError("a graph needs at least one stage")
    for what, names in (
        ("stages", [s.name for s in stages]),
        ("tensors", [spec.name for s in stages for spec in s.outputs]),
    ):
        twice = _first_repeated(names)
        if twice is not None:
            raise GraphError(f"two {what} of the graph are named {twice!r}")


def _first_repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _check_order(stages: Sequence[Stage]) -> None:
    later = {spec.name: stage.name for stage in stages for spec in stage.outputs}
    for stage in stages:
        for spec in stage.inputs:
            if spec.name in later:
                raise GraphError(
                    f"stage {stage.name!r} reads {spec.name!r} before {later[spec.name]!r} made it",
                    remedy="give the stages in topological order; a graph has no cycles",
                )
        for spec in stage.outputs:
            del later[spec.name]
