"""A user's model as a graph of stages that meet by tensor name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import attrs

from deepseek_core.contracts.batching import Batching
from deepseek_core.contracts.errors import GraphError, TensorMismatch
from deepseek_core.contracts.stage import Array, Stage, carries_items
from deepseek_core.contracts.tensor import TensorSpec, axes_alike
from deepseek_core.contracts.units import as_mapping, as_names, printable


# A typed converter: a bare `tuple` would leave the element type unknown to type checkers.
def _stages(values: Iterable[Stage]) -> tuple[Stage, ...]:
    return tuple(values)


def _maybe_specs(values: Iterable[TensorSpec] | None) -> tuple[TensorSpec, ...] | None:
    return None if values is None else tuple(values)


Fuse = Callable[[tuple[str, ...], tuple[str, ...]], Stage]
"""(names of stages, tensors wanted of them) -> one stage that does what they do."""

_NOT_SAID: Final = Batching(reason="its frontend does not say which axis carries the items")

FindBatch = Callable[[frozenset[str], tuple[str, ...]], Batching]
"""(inputs that are fixed, tensors wanted) -> the batch axis of what is left."""


_MOST_SHOWN: Final = 3  # stages, in a line


@attrs.frozen(kw_only=True, eq=False)
class Graph:
    """Stages in topological order; a tensor's name joins its producer to its consumers.

    `outputs` names the tensors that a run returns. `declared_inputs` are the model's own inputs
    in its order, those included that no stage reads; without them they are found from the stages.
    `fuse` makes several stages one, where the frontend can; `find_batch` finds the batch axis
    again when inputs were fixed or outputs left out.
    """

    name: str
    stages: tuple[Stage, ...] = attrs.field(converter=_stages)
    outputs: tuple[str, ...] = attrs.field(converter=as_names)
    declared_inputs: tuple[TensorSpec, ...] | None = attrs.field(
        default=None, converter=_maybe_specs
    )
    batching: Batching = _NOT_SAID
    fuse: Fuse | None = attrs.field(default=None, repr=False)
    find_batch: FindBatch | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        _check_names(self.stages)
        _check_order(self.stages)
        there = {*self.producers, *(spec.name for spec in self.inputs)}
        missing = [name for name in self.outputs if name not in there]
        if missing:
            raise GraphError(f"graph {self.name!r}: no stage makes the outputs {missing}")
        for stage in self.stages if self.declared_inputs is not None else ():
            unknown = [spec.name for spec in stage.inputs if spec.name not in there]
            if unknown:
                raise GraphError(f"stage {stage.name!r} reads {unknown}, which nothing makes")

    def __repr__(self) -> str:
        stages = ", ".join(stage.name for stage in self.stages[:_MOST_SHOWN])
        more = len(self.stages) - _MOST_SHOWN
        given = ", ".join(spec.name for spec in self.inputs)
        return (
            f"<Graph {self.name}: {stages}{f' and {more} more' if more > 0 else ''}; "
            f"{given} -> {', '.join(self.outputs)}; {self.batch_text}>"
        )

    @cached_property
    def producers(self) -> Mapping[str, str]:
        """Tensor name -> name of the stage that makes it."""
        return {name: stage.name for stage in self.stages for name in _made(stage)}

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the caller passes in: as the model declares it, or in order of first use."""
        if self.declared_inputs is not None:
            return self.declared_inputs
        seen = dict[str, TensorSpec]()
        for stage in self.stages:
            for spec in stage.inputs:
                if spec.name not in self.producers:
                    seen.setdefault(spec.name, spec)
        return tuple(seen.values())

    @cached_property
    def output_specs(self) -> tuple[TensorSpec, ...]:
        """Specs of the tensors that a run returns."""
        specs = {spec.name: spec for spec in self.inputs}
        specs |= {spec.name: spec for stage in self.stages for spec in stage.outputs}
        return tuple(specs[name] for name in self.outputs)

    @cached_property
    def handed_through(self) -> tuple[str, ...]:
        """Outputs that are inputs which no stage hands on."""
        made = {spec.name for stage in self.stages for spec in stage.outputs}
        return tuple(name for name in self.outputs if name not in made)

    @cached_property
    def is_batched(self) -> bool:
        """Whether items may be cut out of its inputs, and whole batches joined."""
        return carries_items(self.inputs, self.output_specs)

    @property
    def batch_text(self) -> str:
        """Which axis carries the items of a batch and how that is known, or why none does."""
        known = self.batching
        if known.source == "none":
            return f"not batched: {known.reason}"
        axes = (f"axis {s.batch_axis} of {s.name}" for s in self.inputs if s.batch_axis is not None)
        axis = known.symbol or ", ".join(axes)
        if self.is_batched:
            return f"batch axis: {printable(axis)}, {known.source}"
        specs = (*(s for s in self.inputs if not s.optional), *self.output_specs)
        lacking = next(
            (f"{spec} has none" for spec in specs if spec.batch_axis is None), "no input"
        )
        return f"not batched: {axis} is {known.source}, but {lacking}"

    def admit(self, inputs: Any) -> dict[str, Any]:
        """A run's inputs as arrays that fit, by input name.

        Raises:
            TensorMismatch: one is missing, unknown, or does not fit.
        """
        if not isinstance(inputs, Mapping):
            raise TensorMismatch(
                f"inputs must be a mapping of arrays by name, got a {type(inputs).__name__}",
                remedy=f"pass {{{self._example()}: array, ...}}",
            )
        specs = {spec.name: spec for spec in self.inputs}
        for name in inputs:
            if name not in specs:
                told = "; ".join(map(str, self.inputs)) or "it takes none"
                raise TensorMismatch(
                    f"graph {self.name!r} has no input {name!r}", remedy=f"its inputs: {told}"
                )
        for name, spec in specs.items():
            if name not in inputs and not spec.optional:
                given = ", ".join(map(str, inputs)) or "nothing"
                raise TensorMismatch(
                    f"input {name!r} is missing; given: {given}", remedy=f"pass {spec}"
                )
        from deepseek_core.contracts.convert import as_array  # numpy

        return {name: as_array(specs[name], value) for name, value in inputs.items()}

    def _example(self) -> str:
        return repr(self.inputs[0].name) if self.inputs else "'x'"

    def items(self, inputs: Mapping[str, Any]) -> int | None:
        """How many items a run's arrays hold; None: they are one call, not a batch of items.

        So it is where the graph has no batch axis, where sizes differ that the inputs' specs call
        alike, where items have no elements, and where an input is given that mostly is left to its
        default.
        """
        if not self.is_batched or any(s.optional and s.name in inputs for s in self.inputs):
            return None
        for places in self._alike:
            if len({inputs[name].shape[axis] for name, axis in places}) > 1:
                return None
        given = [spec for spec in self.inputs if not spec.optional]
        sizes = {inputs[spec.name].shape[spec.batch_axis] for spec in given}
        if len(sizes) > 1:
            return None
        items: int = sizes.pop()
        # A size of 0 means something else to some operators.
        if items and any(0 in inputs[spec.name].shape for spec in given):
            return None
        return items

    @cached_property
    def _alike(self) -> tuple[tuple[tuple[str, int], ...], ...]:
        """Axes of the inputs that one symbol names."""
        return axes_alike(spec for spec in self.inputs if not spec.optional)

    def check_inputs(self, inputs: Any) -> int:
        """Check a run's inputs against the specs and return the number of items, or 1.

        Raises:
            TensorMismatch: one is missing, unknown, or does not fit.
        """
        items = self.items(self.admit(inputs))
        return 1 if items is None else items

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

    def bind(self, constants: Mapping[str, Any] | None = None, /, **named: Any) -> Graph:
        """The same graph with some of its inputs fixed (a gallery, a `k`), by name.

        Raises:
            TensorMismatch: no input of that name, or an array that does not fit.
        """
        values = {**as_mapping("constants", constants), **named}
        known = {spec.name: spec for spec in self.inputs}
        for name in values:
            if name not in known:
                raise TensorMismatch(
                    f"graph {self.name!r} has no input {name!r} to fix; "
                    f"its inputs are {', '.join(sorted(known))}"
                )
            self._check_fixable(known[name])
        if not values:
            return self
        left = None
        if self.declared_inputs is not None:
            left = tuple(spec for spec in self.inputs if spec.name not in values)
        stages = tuple(stage.bind(values) for stage in self.stages)
        return attrs.evolve(self, stages=stages, declared_inputs=left)._batch_found_again()

    def _check_fixable(self, spec: TensorSpec) -> None:
        asks_again = self.find_batch is not None and self.batching.source != "declared"
        if spec.batch_axis is not None and not asks_again:
            raise TensorMismatch(
                f"input {spec} carries the items of a batch and can't be fixed",
                remedy="fix another one, or declare another batch axis (batch_axis=...)",
            )

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
        left = None
        if self.declared_inputs is not None:
            left = tuple(spec for spec in self.inputs if spec.name in wanted)
        part = attrs.evolve(
            self, stages=tuple(reversed(kept)), outputs=outputs, declared_inputs=left
        )
        return part._batch_found_again()

    def _batch_found_again(self) -> Graph:
        if self.find_batch is None:
            return self
        fixed = frozenset(name for stage in self.stages for name in stage.constants)
        return self.with_batching(self.find_batch(fixed, self.outputs))

    def with_batching(self, batching: Batching) -> Graph:
        """The same graph with this batch axis on each of its tensors."""
        inputs = self.declared_inputs
        if inputs is not None:
            inputs = tuple(batching.applied(inputs))
        stages = tuple(stage.with_batching(batching) for stage in self.stages)
        return attrs.evolve(self, stages=stages, declared_inputs=inputs, batching=batching)

    def fused(self, names: Sequence[str]) -> Stage:
        """These stages as one, which a device runs without borders inside.

        Raises:
            GraphError: the frontend can't make one of them.
        """
        parts = [stage for stage in self.stages if stage.name in names]
        if len(parts) == 1:
            return parts[0]
        if self.fuse is None:
            raise GraphError(f"graph {self.name!r}: its frontend can't fuse {', '.join(names)}")
        names = tuple(stage.name for stage in parts)
        made = self.fuse(names, self.wanted_of(names))
        constants = {n: v for stage in parts for n, v in stage.constants.items()}
        specs = (spec for stage in parts for spec in (*stage.inputs, *stage.outputs))
        axes = {spec.name: spec.batch_axis for spec in specs if spec.batch_axis is not None}
        whole = _with_constants(made, constants)
        batched = made.batched and all(stage.batched for stage in parts)
        return attrs.evolve(whole, batched=batched).with_batching(
            attrs.evolve(self.batching, axes=axes)
        )

    def wanted_of(self, names: Sequence[str]) -> tuple[str, ...]:
        """What these stages make for the caller or for others."""
        mine = [stage for stage in self.stages if stage.name in names]
        others = [stage for stage in self.stages if stage.name not in names]
        read = {spec.name for stage in others for spec in stage.inputs}
        made = dict.fromkeys(spec.name for stage in mine for spec in stage.outputs)
        return tuple(name for name in made if name in read or name in self.outputs)


def _with_constants(stage: Stage, constants: Mapping[str, Array]) -> Stage:
    """Constants as they were fixed before: no copy, no check."""
    inputs = tuple(spec for spec in stage.inputs if spec.name not in constants)
    return attrs.evolve(stage, inputs=inputs, constants=constants)


def _made(stage: Stage) -> list[str]:
    """What a stage makes: not what it hands through."""
    given = {spec.name for spec in stage.inputs}
    return [spec.name for spec in stage.outputs if spec.name not in given]


def _check_names(stages: Sequence[Stage]) -> None:
    if not stages:
        raise GraphError("a graph needs at least one stage")
    for what, names in (
        ("stages", [s.name for s in stages]),
        ("tensors", [name for s in stages for name in _made(s)]),
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
    later = {name: stage.name for stage in stages for name in _made(stage)}
    for stage in stages:
        for spec in stage.inputs:
            if spec.name in later:
                raise GraphError(
                    f"stage {stage.name!r} reads {spec.name!r} before {later[spec.name]!r} made it",
                    remedy="give the stages in topological order; a graph has no cycles",
                )
        for name in _made(stage):
            del later[name]
