"""Reads an ONNX model and cuts it into stages by what the devices present support."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from deepseek_core import (
    Artifact,
    Frontend,
    Graph,
    Operation,
    ReadOptions,
    Stage,
    Support,
    TensorSpec,
    errors,
)
from deepseek_onnx.batch import find_batch
from deepseek_onnx.domain import COMMON_DOMAINS
from deepseek_onnx.model import Model, load
from deepseek_onnx.stages import input_specs, operator_names, whole_stage

Supporters = Callable[[Operation], dict[str, Support]]


class OnnxFrontend(Frontend):
    """Reader of `.onnx` files, with data files beside them."""

    def read(self, artifact: Artifact, supporters: Supporters) -> Graph:
        """The model as stages, cut wherever the set of supporting devices changes.

        Raises:
            ArtifactError: missing, truncated, or no ONNX model.
            NoDevice: an operator that no device supports; says why each refused.
        """
        return self.read_model(artifact, ReadOptions(supporters=supporters))

    def read_model(self, artifact: Artifact, options: ReadOptions) -> Graph:
        """The model as one stage if a device takes it whole, cut where another may be worth it.

        Raises:
            ArtifactError: missing, truncated, or no ONNX model.
            NoDevice: an operator that no device supports; says why each refused.
            GraphError: an output that the model does not have.
            ConfigError: a batch axis that the model does not have.
        """
        model = load(artifact)
        if options.outputs:
            model = _with_outputs(model, options.outputs)
        stages, fuse = [whole_stage(model, model.outputs)], None
        if not options.whole or _has_foreign(model) or _interested(model, options):
            from deepseek_onnx.cutting import cut_up  # most models stay whole

            model, stages, fuse = cut_up(model, options)
        path, find = artifact.path, find_batch(model, options.batch_axis)
        return Graph(
            name=path.stem if path is not None else model.graph.name or "model",
            stages=stages,
            outputs=model.outputs,
            declared_inputs=_inputs(model, stages),
            fuse=fuse,
            find_batch=find,
        ).with_batching(find(options.fixed, model.outputs))


def whole_model_stage(artifact: Artifact) -> Stage:
    """A model as one stage, its file untouched, whatever any device supports.

    Raises:
        ArtifactError: missing, truncated, or no ONNX model.
    """
    model = load(artifact)
    return whole_stage(model, model.outputs)


def _with_outputs(model: Model, outputs: Sequence[str]) -> Model:
    made = {name for node in model.graph.node for name in node.output if name}
    made.update(model.outputs)
    for name in outputs:
        if name not in made:
            raise errors.GraphError(
                f"{model.file.named} has no output {name!r}",
                remedy=f"its outputs are {', '.join(model.outputs)}; any value inside will do, too",
            )
    return attrs.evolve(model, wanted=tuple(dict.fromkeys(outputs)))


def _has_foreign(model: Model) -> bool:
    """Whether it has operators that devices may well not know."""
    local = {(domain, name) for domain, name, _ in model.functions}
    foreign = {pair for pair in model.survey.operators if pair[0] not in COMMON_DOMAINS}
    return not foreign <= local


def _interested(model: Model, options: ReadOptions) -> bool:
    """Whether some device that does not take the model whole may run a part of it."""
    if not options.operators:
        return False
    there = operator_names(model)
    return any(not names or not there.isdisjoint(names) for names in options.operators.values())


def _inputs(model: Model, stages: Sequence[Stage]) -> list[TensorSpec]:
    """What the caller passes: all that the file declares, or what the wanted outputs need."""
    specs = input_specs(model)
    if not model.wanted:
        return specs
    read = {spec.name for stage in stages for spec in stage.inputs}
    return [spec for spec in specs if spec.name in read]
