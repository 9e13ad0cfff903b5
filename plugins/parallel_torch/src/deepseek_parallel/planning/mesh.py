"""A mesh of ranks, and whether it fits a model and a cluster."""

from __future__ import annotations

from typing import Final

import attrs

from deepseek_parallel.planning import checks
from deepseek_parallel.planning.cluster import Cluster
from deepseek_parallel.planning.model import Transformer
from deepseek_parallel.planning.training import Training


@attrs.frozen(kw_only=True, order=True)
class Mesh:
    """dp x tp x pp ranks; `micro` sequences a microbatch; `interleave` chunks of layers a stage."""

    dp: int
    tp: int
    pp: int
    micro: int = 1
    interleave: int = 1

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(Mesh):
            checks.counted(getattr(self, field.name), f"the mesh's {field.name}")

    @property
    def ranks(self) -> int:
        """All of them."""
        return self.dp * self.tp * self.pp


SIZES_ALONE: Final = ("world", "tp", "heads", "sequence", "layers")
"""Dimensions that refuse dp, tp and pp whatever the microbatch."""


@attrs.frozen(kw_only=True)
class Refused:
    """Why a mesh is none: its `dimension`, or "memory" with the bytes a GPU lacks."""

    mesh: Mesh
    dimension: str
    why: str
    remedy: str
    lacking_nbytes: float = 0.0


def refusal(mesh: Mesh, model: Transformer, cluster: Cluster, training: Training) -> Refused | None:
    """The first dimension that does not fit, or None."""
    for dimension, bad, why, remedy in _rules(mesh, model, cluster, training):
        if bad:
            return Refused(mesh=mesh, dimension=dimension, why=why, remedy=remedy)
    return None


def _rules(
    mesh: Mesh, model: Transformer, cluster: Cluster, training: Training
) -> list[tuple[str, bool, str, str]]:
    """Dimension, whether it is broken, why, what to do; the first that is broken is told."""
    tp, pp, parts = mesh.tp, mesh.pp, mesh.pp * mesh.interleave
    nodes = sorted({group.gpus_per_node for group in cluster.groups})
    uneven = any(gpus % tp for gpus in nodes)
    batches = training.batch // mesh.micro
    return [
        ("world", mesh.ranks != cluster.world,
         f"dp {mesh.dp} x tp {tp} x pp {pp} are {mesh.ranks} ranks, not the {cluster.world} GPUs",
         "choose dp, tp and pp whose product is the number of GPUs"),
        ("tp", uneven,
         f"tp {tp} does not divide the GPUs of a node: {', '.join(map(str, nodes))}",
         "choose a tp that divides the GPUs of every node"),
        ("heads", model.heads % tp != 0,
         f"tp {tp} does not divide the model's {model.heads} heads",
         "choose a tp that divides heads"),
        ("sequence", training.sequence_parallel and model.sequence % tp != 0,
         f"tp {tp} does not divide the sequence of {model.sequence} tokens",
         "choose a tp that divides the sequence, or no sequence parallelism"),
        ("layers", model.layers < pp,
         f"pp {pp} is more than the model's {model.layers} layers",
         "choose a pp of at most the number of layers"),
        ("interleave", mesh.interleave > 1 and (pp == 1 or model.layers % parts != 0),
         f"pp {pp} x interleave {mesh.interleave} does not cut {model.layers} layers evenly"
         if pp > 1 else f"interleave {mesh.interleave} needs a pipeline, and pp is 1",
         "choose pp x interleave that divides layers, or interleave 1"),
        ("batch", training.batch % mesh.micro != 0,
         f"micro {mesh.micro} does not divide the batch of {training.batch}",
         "choose a micro that divides the batch"),
        ("batch", batches < mesh.dp,
         f"{batches} microbatches of {mesh.micro} are less than dp {mesh.dp}",
         "choose a smaller dp or micro, or a larger batch"),
        ("interleave", mesh.interleave > 1 and batches % (mesh.dp * pp) != 0,
         f"interleaving needs {batches} microbatches to be a multiple of dp {mesh.dp} x pp {pp}",
         "choose a batch or micro that makes them one, or interleave 1"),
    ]  # fmt: skip
