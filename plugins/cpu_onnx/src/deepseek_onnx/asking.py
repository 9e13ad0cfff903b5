"""Asks devices about the nodes of a model, equal ones once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from deepseek_core import Operation, Support, errors
from deepseek_onnx.model import Model
from deepseek_onnx.protos import NodeProto
from deepseek_onnx.sessions import operator_names
from deepseek_onnx.stages import Operations

Supporters = Callable[[Operation], dict[str, Support]]


@attrs.frozen(eq=False)
class Answers:
    """What each device says of each node, in the order of `model.nodes`."""

    model: Model
    operations: Operations
    by_node: tuple[dict[str, Support], ...]

    def able(self, device_id: str) -> set[int]:
        """The nodes that a device supports."""
        return {i for i, said in enumerate(self.by_node) if said.get(device_id)}

    @property
    def devices(self) -> set[str]:
        """All that were asked."""
        return set().union(*self.by_node)

    def labels(self) -> list[frozenset[str]]:
        """For each node the devices that support it.

        Raises:
            NoDevice: there is none for some.
        """
        found = [frozenset(d for d, support in said.items() if support) for said in self.by_node]
        refused = [i for i, devices in enumerate(found) if not devices]
        if refused:
            raise self._nobody(refused)
        return found

    def _nobody(self, refused: Sequence[int]) -> errors.NoDevice:
        nodes = self.model.nodes
        said = [
            f"{self.operations[i].qualified_name} (node {nodes[i].name or i!r})" for i in refused
        ]
        more = f" and {len(said) - 3} more" if len(said) > 3 else ""
        reasons: dict[str, dict[str, None]] = {}
        for i in refused:
            for device, support in self.by_node[i].items():
                reasons.setdefault(device, {})[support.reason] = None
        refusals = {device: "; ".join(texts) for device, texts in reasons.items()}
        told = "; ".join(f"{device}: {text}" for device, text in refusals.items())
        return errors.NoDevice(
            f"no device runs {', '.join(said[:3])}{more} ({told or 'no device is present'})",
            refusals=refusals,
            remedy="install a plugin that runs it, or export the model with other operators",
        )


def ask(model: Model, supporters: Supporters) -> Answers:
    """Ask about every node that an output depends on."""
    operations = Operations(model.nodes, model)
    known: dict[object, dict[str, Support]] = {}
    answers = []
    for i, node in enumerate(model.nodes):
        key = _signature(operations[i], node)
        if key not in known:
            known[key] = supporters(operations[i])
        answers.append(known[key])
    return Answers(model, operations, tuple(answers))


def _signature(op: Operation, node: NodeProto) -> object:
    """Equal for operations that a device can't tell apart but by their names."""
    attributes = b"".join(sorted(a.SerializeToString(deterministic=True) for a in node.attribute))
    described = [(bool(s.name), s.dtype, s.shape) for s in (*op.inputs, *op.outputs)]
    overload = getattr(node, "overload", "")
    return op.qualified_name, overload, op.version, tuple(described), len(op.inputs), attributes


def unknown_operators(model: Model) -> bool:
    """Whether the model has an operator of which ONNX Runtime has never heard."""
    from onnx import defs

    names = model.survey.operators - {(domain, name) for domain, name, _ in model.functions}
    strange = {pair for pair in names if not defs.has(pair[1], pair[0])}
    return not strange <= operator_names() if strange else False
