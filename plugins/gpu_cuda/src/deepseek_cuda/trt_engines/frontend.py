"""Reads an engine as a graph of one stage, by its manifest alone: no TensorRT, no GPU."""

from __future__ import annotations

from typing import Final

from deepseek_core import Artifact, Frontend, Graph, Operation, Stage, Work
from deepseek_cuda.asking import Supporters, ask
from deepseek_cuda.trt_engines.manifest import EngineFile, read_manifest

DOMAIN: Final = "com.nvidia.tensorrt"
OPERATOR: Final = "Engine"


class EngineFrontend(Frontend):
    """`NAME.engine`, as `ds-sdk trt build` leaves it."""

    def read(self, artifact: Artifact, supporters: Supporters) -> Graph:
        """One stage: an engine is run whole.

        Raises:
            ArtifactError: its manifest is missing or damaged.
            NoDevice: no GPU that runs engines; says why each refused.
        """
        file = read_manifest(artifact)
        name = artifact.path.stem if artifact.path is not None else "engine"
        operation = _operation(file)
        ask(supporters, [operation], f"the engine {name}")
        stage = Stage(
            name="engine",
            kind="engine",
            operations=[operation],
            inputs=file.inputs,
            outputs=file.outputs,
            artifact=artifact,
            work=Work(fixed_bytes=file.nbytes),
            shapes_hold=False,  # of lengths that an engine computes, the manifest says nothing
        )
        return Graph(name=name, stages=[stage], outputs=[spec.name for spec in file.outputs])


def _operation(file: EngineFile) -> Operation:
    attributes = {"flavor": file.flavor, "version": file.version, "targets": list(file.targets)}
    return Operation(
        name=OPERATOR,
        domain=DOMAIN,
        version=1,
        inputs=file.inputs,
        outputs=file.outputs,
        attributes=attributes,
    )
