"""Seconds and bytes of one layer for one microbatch, forward and backward.

b sequences of s tokens, hidden width h, a heads, L layers, vocabulary V, t tensor-parallel ranks,
e bytes an element. Operations of the products: 24 b s h^2 + 4 b s^2 h forward, twice that backward
(Narayanan et al., arXiv 2104.04473). What softmax, dropout, norms and GeLU read and write is
counted beside them: it is bound by memory. Bytes kept for the backward pass: Korthikanti et al.,
arXiv 2205.05198, section 4.
"""

from __future__ import annotations

import attrs

from deepseek_parallel.planning.cluster import Group, Link
from deepseek_parallel.planning.mesh import Mesh
from deepseek_parallel.planning.model import Transformer
from deepseek_parallel.planning.training import Assumed, Training


@attrs.frozen(kw_only=True)
class LayerCost:
    """Seconds of a microbatch: of a layer, and of the output layer with its loss."""

    compute_s: float
    tensor_s: float
    head_s: float

    @property
    def layer_s(self) -> float:
        """Seconds of a layer, computed and summed."""
        return self.compute_s + self.tensor_s


def num_all_reduces(recompute: str) -> int:
    """All-reduces of a layer: two forward, two backward, two more if it is recomputed.

    With sequence parallelism each is a reduce-scatter and an all-gather, of as many bytes.
    """
    return 6 if recompute == "full" else 4


def boundary_nbytes(model: Transformer, mesh: Mesh, training: Training) -> float:
    """What one layer hands to the next for a microbatch, all tensor-parallel ranks together."""
    return mesh.micro * model.sequence * model.hidden * training.element_nbytes


def all_reduce_s(nbytes: float, ranks: int, link: Link, share: float) -> float:
    """A ring: each rank sends 2 (n - 1) / n of the bytes in 2 (n - 1) messages."""
    if ranks == 1:
        return 0.0
    sent = 2 * (ranks - 1) / ranks * nbytes
    return sent / (link.bytes_per_s * share) + 2 * (ranks - 1) * link.latency_s


def layer_cost(
    model: Transformer, group: Group, mesh: Mesh, training: Training, assumed: Assumed
) -> LayerCost:
    """What a microbatch takes on GPUs of this group.

    The weight gradient of each microbatch is added to those before it: 8 bytes a parameter are
    read and written.
    """
    b, s, h, t = mesh.micro, model.sequence, model.hidden, mesh.tp
    e, scores = training.element_nbytes, mesh.micro * model.heads * model.sequence**2 / t
    whole = b * s * h / (t if training.sequence_parallel else 1)
    split = b * s * h / t
    rate = group.peak(training.dtype) * assumed.matmul_share(h / t) * group.speed
    bandwidth = group.memory_bytes_per_s * assumed.memory * group.speed
    products = (24 * b * s * h * h + 4 * b * s * s * h) / t
    forward_nbytes = (10 * e + 2) * whole + 8 * e * split + (4 * e + 1) * scores
    backward_nbytes = (16 * e + 2) * whole + 12 * e * split + (5 * e + 1) * scores
    flops, nbytes = 3 * products, forward_nbytes + backward_nbytes
    if training.recompute == "full":
        flops, nbytes = flops + products, nbytes + forward_nbytes
    elif training.recompute == "selective":
        flops, nbytes = flops + 4 * b * s * s * h / t, nbytes + (4 * e + 1) * scores
    nbytes += 2 * training.gradient_nbytes * model.layer_parameters / t
    columns = model.embedding_parameters(t) / h
    reduced_s = all_reduce_s(boundary_nbytes(model, mesh, training), t, group.inside, assumed.link)
    return LayerCost(
        compute_s=flops / rate + nbytes / bandwidth,
        tensor_s=num_all_reduces(training.recompute) * reduced_s,
        head_s=6 * b * s * h * columns / rate + 5 * 4 * b * s * columns / bandwidth,
    )


def kept_nbytes(model: Transformer, mesh: Mesh, training: Training, recompute: str) -> float:
    """Activations of one layer and microbatch that a rank keeps until the backward pass."""
    b, s, h, t = mesh.micro, model.sequence, model.hidden, mesh.tp
    e, shared = training.element_nbytes, t if training.sequence_parallel else 1
    if recompute == "full":
        return e * b * s * h / shared
    linear = b * s * h * ((4 * e + 2) / shared + 12 * e / t)
    scores = (2 * e + 1) * b * model.heads * s * s / t
    return linear if recompute == "selective" else linear + scores


def working_nbytes(model: Transformer, mesh: Mesh, training: Training) -> float:
    """What is held for a moment: a layer that is recomputed."""
    none = kept_nbytes(model, mesh, training, "none")
    return none - kept_nbytes(model, mesh, training, training.recompute)


def logits_nbytes(model: Transformer, mesh: Mesh) -> float:
    """Scores of the vocabulary in float32."""
    columns = model.embedding_parameters(mesh.tp) / model.hidden
    return 4 * mesh.micro * model.sequence * columns
