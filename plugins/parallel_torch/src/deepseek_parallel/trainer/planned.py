"""What a training would do, said before it begins."""

from __future__ import annotations

from typing import Any

from deepseek_core import console, training
from deepseek_parallel.exchange import Layout
from deepseek_parallel.pays import Comparison, compared, loopback
from deepseek_parallel.trainer.choice import PLAIN
from deepseek_parallel.trainer.descent import whole_nbytes
from deepseek_parallel.trainer.pieces import cut, equal_shares
from deepseek_parallel.trainer.progress import Goal
from deepseek_parallel.trainer.trainer import Trainer


def planned(
    trainer: Trainer,
    ranks: int,
    *,
    link: training.Link | None = None,
    steps: int | None = None,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Facts of a training on so many ranks, by what each is.

    Ranks exchange by `link`; by default they are processes of this machine.

    Raises:
        ConfigError: this machine's loopback interface can't be measured.
        MeshMismatch: the ranks do not make the mesh that is wanted.
    """
    setup = trainer.setup
    if setup.choice is not None:
        setup.choice.check_world(ranks)
    goal = Goal(batch=setup.batch, length=setup.order.length, steps=steps, epochs=epochs)
    pieces = cut(0, setup.batch, setup.num_pieces(setup.batch, ranks))
    weights = sum(param.numel() for _, param in setup.params)
    nbytes = whole_nbytes(setup.params, ranks)
    if setup.ratio is not None and ranks > 1:
        layout = Layout(length=weights, ranks=ranks, ratio=setup.ratio, ratio_of_sum=setup.ratio)
        nbytes = layout.wire_nbytes
    saved = "nowhere" if setup.checkpoint is None else str(setup.checkpoint)
    every = ", at the end"
    if setup.save_every is not None:
        is_number = isinstance(setup.save_every, int)
        every = f", each {setup.save_every} steps" if is_number else ", as failures come"
    plain = {
        "microbatches of each rank": list(equal_shares(len(pieces), ranks)),
        "samples of a microbatch": max(piece.count for piece in pieces),
        "gradients on the wire, a step": console.format_bytes(nbytes),
    }
    facts = {
        "model": type(setup.model).__name__,
        "trained weights": weights,
        "optimizer": type(setup.optimizer).__name__,
        "samples of an epoch": setup.order.length,
        "steps": goal.num_steps,
        "samples of a step": setup.batch,
        "precision": setup.precision.kind,
        "ranks": ranks,
        "strategy": str(setup.choice or PLAIN),
        **({} if setup.choice is not None else plain),
        "checkpoints": saved if setup.checkpoint is None else saved + every,
    }
    if setup.ratio is not None and ranks > 1:
        facts["compression"] = _pays(compared(weights, setup.ratio, ranks, link or loopback()))
    return facts


def _pays(told: Comparison) -> str:
    is_faster = told.speedup > 1
    times = told.speedup if is_faster else 1 / told.speedup
    return (
        f"{'pays' if is_faster else 'does not pay'}: an exchange takes "
        f"{console.format_seconds(told.compressed_s)} (of a model), {times:.1f} times as "
        f"{'fast' if is_faster else 'slow'} as an all-reduce of "
        f"{console.format_seconds(told.whole_s)}; it pays on links below "
        f"{console.format_bytes(told.even_bytes_per_s)}/s"
    )
