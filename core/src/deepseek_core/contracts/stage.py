"""Stages: what a device loads and runs as one, with the operations inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.batching import Batching
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.contracts.tensor import TensorSpec
from deepseek_core.contracts.units import check_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    Array = Any


# A typed converter: a bare `tuple` would leave the element type unknown to type checkers.
def _specs(values: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(values)


def _operations(values: Iterable[Operation]) -> Sequence[Operation]:
    """A list may change; any other sequence is kept, for it may make its items when asked."""
    if isinstance(values, Sequence) and not isinstance(values, list):
        return values
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
    `work` may be a function that counts it when a device is asked for an estimate.
    An output that has an input's name hands that input through. A run may take some items of a
    batch, or those of several, where its tensors have batch axes and it is `batched`.

    A device that breaks a promise of the stage is taken out: `shapes_hold` says that ranks, fixed
    sizes and what a symbol stands for are as in the specs (False where a file says so of itself,
    and may be wrong), `items_hold` that a run makes as many items as it takes.
    """

    name: str
    kind: str
    operations: Sequence[Operation] = attrs.field(converter=_operations, repr=False)
    inputs: tuple[TensorSpec, ...] = attrs.field(converter=_specs)
    outputs: tuple[TensorSpec, ...] = attrs.field(converter=_specs)
    artifact: Artifact
    constants: Mapping[str, Array] = attrs.field(factory=dict, repr=False)
    _work: Work | Callable[[], Work] = attrs.field(default=Work(), alias="work", repr=False)
    batched: bool = True
    shapes_hold: bool = True
    items_hold: bool = True

    @cached_property
    def work(self) -> Work:
        """What a run must do."""
        return self._work() if callable(self._work) else self._work

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of artifact, interface and constants."""
        from hashlib import sha256  # start-up: listing plugins needs no digest

        digest = sha256(self.artifact.fingerprint.encode())
        digest.update("|".join(map(str, (*self.inputs, *self.outputs))).encode())
        for name, value in sorted(self.constants.items()):
            digest.update(f"{name}:{value.dtype}:{value.shape}".encode())
            digest.update(repr(value.tolist()).encode() if value.dtype.hasobject else _bytes(value))
        return digest.hexdigest()

    @cached_property
    def operators(self) -> frozenset[str]:
        """Names of its operators; a sequence that makes its operations when asked may tell them."""
        told: frozenset[str] | None = getattr(self.operations, "names", None)
        if told is not None:
            return told
        return frozenset(operation.qualified_name for operation in self.operations)

    @property
    def divisible(self) -> bool:
        """Whether a run may take some items of a batch, or those of several."""
        return self.batched and carries_items(self.inputs, self.outputs)

    def with_batching(self, batching: Batching) -> Stage:
        """The same stage with the batch axis on each of its tensors.

        What a caller declares is no promise of the stage; what is proven is.
        """
        return attrs.evolve(
            self,
            inputs=batching.applied(self.inputs),
            outputs=batching.applied(self.outputs),
            items_hold=batching.source == "proven",
        )

    def carried(self) -> Stage:
        """The same stage as plain data, for a process that does not see our files.

        Raises:
            ArtifactError: its artifact can't be read.
        """
        return attrs.evolve(
            self,
            artifact=self.artifact.carried(),
            operations=tuple(self.operations),
            work=self.work,
        )

    def bind(self, constants: Mapping[str, Array]) -> Stage:
        """The same stage with some of its inputs fixed to copies of the given arrays.

        Raises:
            TensorMismatch: an array does not fit its input.
        """
        mine = {s.name: s for s in self.inputs if s.name in constants}
        if not mine:
            return self
        from deepseek_core.contracts.convert import constant  # numpy

        values = {name: constant(spec, constants[name]) for name, spec in mine.items()}
        return attrs.evolve(
            self,
            inputs=tuple(s for s in self.inputs if s.name not in mine),
            constants={**self.constants, **values},
        )


def carries_items(inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> bool:
    """Whether every input that must be given, and every output, has a batch axis."""
    given = [spec for spec in inputs if not spec.optional]
    return bool(given) and all(s.batch_axis is not None for s in (*given, *outputs))


def _bytes(value: Array) -> memoryview:
    flat: memoryview = value.reshape(-1).view("uint8").data
    return flat


@attrs.frozen(kw_only=True)
class Task:
    """A stage on one batch of `batch` items: what a device is asked to estimate."""

    stage: Stage
    batch: int = 1
    latency: LatencyClass = LatencyClass.OFFLINE
    workload: Workload = Workload.INFERENCE
    deadline_s: float | None = None
