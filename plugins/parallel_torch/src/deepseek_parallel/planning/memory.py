"""Bytes that one GPU of each stage needs.

Weights of the training's dtype, gradients in float32, Adam's moments and a float32 copy: 18 bytes
a parameter in bf16. Activations of the microbatches in flight (arXiv 2205.05198, section 4): p on
the first of p stages, p + (p - 1) / v with v chunks a stage.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from deepseek_parallel.planning.layer import kept_nbytes, logits_nbytes, working_nbytes
from deepseek_parallel.planning.mesh import Mesh
from deepseek_parallel.planning.model import Transformer
from deepseek_parallel.planning.training import Training


@attrs.frozen(kw_only=True)
class Memory:
    """Bytes on a GPU of `stage`: `working` for a moment, `usable` to be planned for."""

    stage: int
    weights: float
    gradients: float
    optimizer: float
    activations: float
    working: float
    usable: float

    @property
    def total(self) -> float:
        """All parts."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.working

    @property
    def lacking(self) -> float:
        """Bytes that are missing; 0 or less if it fits."""
        return self.total - self.usable


def stage_parameters(model: Transformer, mesh: Mesh, layers: int, stage: int) -> float:
    """Parameters of one rank: its layers; the embedding, first and last stage have it."""
    own = layers * model.layer_parameters / mesh.tp
    if stage == 0:
        own += model.embedding_parameters(mesh.tp) + model.sequence * model.hidden
    elif stage == mesh.pp - 1:
        own += model.embedding_parameters(mesh.tp)
    return own


def in_flight(mesh: Mesh, stage: int, microbatches: int) -> float:
    """Microbatches whose activations a stage keeps at most, in the schedule 1F1B."""
    if mesh.interleave == 1:
        return min(microbatches, mesh.pp - stage)
    chunks = 2 * (mesh.pp - 1 - stage) + (mesh.interleave - 1) * mesh.pp + 1
    return min(microbatches, chunks / mesh.interleave)


def tightest(
    model: Transformer,
    mesh: Mesh,
    training: Training,
    *,
    cut: Sequence[int],
    microbatches: int,
    usable: Sequence[float],
) -> Memory:
    """The stage with the least memory left; `cut` layers and `usable` bytes by stage."""
    kept = kept_nbytes(model, mesh, training, training.recompute)
    working = working_nbytes(model, mesh, training)
    logits = logits_nbytes(model, mesh)

    def memory(stage: int) -> Memory:
        owned = stage_parameters(model, mesh, cut[stage], stage)
        shards = mesh.dp if training.sharded else 1
        gathered = model.layer_parameters / mesh.tp * training.element_nbytes
        return Memory(
            stage=stage,
            weights=owned * training.element_nbytes / shards,
            gradients=owned * training.gradient_nbytes / shards,
            optimizer=owned * training.optimizer_nbytes / shards,
            activations=cut[stage] * kept * in_flight(mesh, stage, microbatches),
            working=working
            + (logits if stage == mesh.pp - 1 else 0.0)
            + (gathered if training.sharded else 0.0),
            usable=usable[stage],
        )

    return max(map(memory, range(mesh.pp)), key=lambda found: found.lacking)
