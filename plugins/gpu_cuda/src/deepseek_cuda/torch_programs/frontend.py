"""Reads a program of torch.export as a graph of one stage: no torch, no pickle, no tensor."""

from __future__ import annotations

import attrs

from deepseek_core import Artifact, Frontend, Graph, Stage, Work
from deepseek_cuda.asking import Supporters, ask
from deepseek_cuda.torch_programs.archive import read_archive
from deepseek_cuda.torch_programs.specs import signature_of


class ProgramFrontend(Frontend):
    """`FILE.pt2`, as `torch.export.save` leaves it."""

    def read(self, artifact: Artifact, supporters: Supporters) -> Graph:
        """One stage: a program is run whole.

        Raises:
            ArtifactError: it is damaged, holds a pickled object, keeps a state, or has another
                operator than torch's own.
            NoDevice: no GPU that runs such programs; says why each refused.
        """
        archive = read_archive(artifact, tensors=False)
        found = signature_of(archive.program)
        name = artifact.path.stem if artifact.path is not None else "program"
        kinds = {operation.name: operation for operation in found.operations}
        ask(supporters, kinds.values(), f"the program {name}")
        stage = Stage(
            name="program",
            kind="program",
            operations=found.operations,
            inputs=found.inputs,
            outputs=found.outputs,
            artifact=attrs.evolve(artifact, fingerprint=archive.identity),
            work=Work(fixed_bytes=archive.nbytes),
        )
        return Graph(name=name, stages=[stage], outputs=[spec.name for spec in found.outputs])
