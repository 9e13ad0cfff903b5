"""Products of two activations: what is summed over is tied."""

from __future__ import annotations

import math

from torch import Tensor

from deepseek_compress.prune.classes import FIXED, varying
from deepseek_compress.prune.rules.linear import apply_linear
from deepseek_compress.prune.rules.pointwise import merge_all
from deepseek_compress.prune.rules.registry import Call, aten
from deepseek_compress.prune.run import Run


@aten("mm", "bmm")
def product(run: Run, call: Call) -> None:
    """`a @ b`."""
    multiply(run, call.args[0], call.args[1], call.out)


@aten("addmm", "baddbmm")
def product_and_sum(run: Run, call: Call) -> None:
    """`bias + a @ b`."""
    bias, a, b = call.args[:3]
    multiply(run, a, b, call.out)
    ids = merge_all(run, [call.out, bias], call.out)
    if ids is not None:
        run.put(call.out, ids)


def multiply(run: Run, a: Tensor, b: Tensor, out: Tensor) -> None:
    """Ids of a product: of a weight if one is a parameter, of two activations else."""
    if a.dim() == 3 and a.shape[0] == 1 and not (run.mirror.knows(a) and run.mirror.knows(b)):
        a, b, out = a[0], b[0], out[0]
    if run.parameters.locate(b) is not None and run.mirror.knows(a) and a.dim() == 2:
        apply_linear(run, a, b.t(), out)
    elif run.parameters.locate(a) is not None and run.mirror.knows(b) and a.dim() == 2:
        apply_linear(run, b.t(), a, out.t())
    else:
        contract(run, a, b, out)


def contract(run: Run, a: Tensor, b: Tensor, out: Tensor) -> None:
    """Tie what is summed over; rows of `a` or columns of `b` keep their ids."""
    ids_a, ids_b = run.known(a), run.known(b)
    summed_a, summed_b = ids_a.shape[-1] > 1, ids_b.shape[-2] > 1
    if (summed_a or _single(ids_a)) and (summed_b or _single(ids_b)):
        left, right = run.vector(a, -1), run.vector(b, -2)
        run.tie(left, right)
        run.saw(run.classes.roots(left))
        run.work(out.numel(), left)
        run.put(out, run.fixed(out))
        return
    if summed_a or summed_b:
        run.pin(ids_a, "summed over with what is of a fixed size")
        run.pin(ids_b, "summed over with what is of a fixed size")
        ids_a, ids_b = ids_a.narrow(-1, 0, 1), ids_b.narrow(-2, 0, 1)
    ids = _outer(run, ids_a, ids_b)
    vectors = [run_vector(ids, axis).expand(out.shape[axis]) for axis in varying(ids)]
    run.work(out.numel() * a.shape[-1] / math.prod(map(len, vectors)), *vectors)
    run.put(out, ids)


def run_vector(ids: Tensor, axis: int) -> Tensor:
    """Ids along an axis, at the first place of all others."""
    return ids.movedim(axis, 0).flatten(1)[:, 0]


def _outer(run: Run, rows: Tensor, columns: Tensor) -> Tensor:
    """Ids of the result: those of one side; where both have channels, both stay."""
    if bool((rows == FIXED).all()):
        return _rectangular(run, columns)
    if bool((columns == FIXED).all()):
        return _rectangular(run, rows)
    batches = rows.shape[-2:] == columns.shape[-2:] == (1, 1)
    if batches and rows.dim() == 3 and rows.shape == columns.shape:
        run.tie(rows, columns)
        return rows
    run.pin(rows, "channels along two axes are multiplied")
    run.pin(columns, "channels along two axes are multiplied")
    return rows.new_full((1,) * rows.dim(), FIXED)


def _rectangular(run: Run, ids: Tensor) -> Tensor:
    """Channels of every item of a batch, as heads are, shrink by equal numbers."""
    if ids.shape[0] > 1 and len(varying(ids)) > 1 and ids.dim() == 3:
        return run.tie_over(ids, [0])
    return ids


def _single(ids: Tensor) -> bool:
    """Whether all is one class that may go: that of the axis that is summed over."""
    return ids.numel() == 1 and bool((ids != FIXED).all())
