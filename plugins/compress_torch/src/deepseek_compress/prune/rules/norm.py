"""Norms: per-channel parameters, and figures over channels that pruning changes."""

from __future__ import annotations

from torch import Tensor

from deepseek_compress.prune.rules.pointwise import merge_all
from deepseek_compress.prune.rules.registry import Call, function
from deepseek_compress.prune.run import Run


@function("batch_norm", "instance_norm")
def channel_norm(run: Run, call: Call) -> None:
    """Each channel by itself: `x, running_mean, running_var, weight, bias`."""
    x = call.args[0]
    vector = run.vector(x, 1)
    statistics = [call.get(1, "running_mean"), call.get(2, "running_var")]
    affine = [call.get(3, "weight"), call.get(4, "bias")]
    if call.name.startswith("torch."):
        statistics, affine = affine, statistics
    for each in (*statistics, *affine):
        run.bound(each, vector)
    if affine[0] is not None:
        _note(run, affine[0])
    run.fix("num_features", vector)
    run.spread(vector, call.out, 1)


def _note(run: Run, weight: Tensor) -> None:
    located = run.parameters.locate(weight)
    if located is not None:
        run.weight(located.name, 0, None, "norm")


@function("layer_norm", "rms_norm")
def layer_norm(run: Run, call: Call) -> None:
    """Figures over the last axes: exact only if none of their channels goes."""
    x, shape = call.args[0], tuple(call.args[1])
    last = range(x.dim() - len(shape), x.dim())
    ids = run.known(x)
    over = [axis for axis in last if ids.shape[axis] > 1]
    if over:
        run.inexact.append((ids, run.why("its statistics are over the channels themselves")))
        if len(shape) > 1:
            run.pin(ids, "a norm over several axes")
    affine = [each for each in call.args[2:] if isinstance(each, Tensor)]
    affine += [each for each in call.kwargs.values() if isinstance(each, Tensor)]
    if (
        over
        and not affine
        and not hasattr(run.layers[-1][1] if run.layers else None, "normalized_shape")
    ):
        run.saw(ids)
    merged = merge_all(run, [x, *affine], call.out)
    assert merged is not None
    run.put(call.out, merged)
    if len(shape) == 1:
        run.fix("normalized_shape", run.vector(x, -1))


@function("group_norm")
def group_norm(run: Run, call: Call) -> None:
    """Groups of channels shrink by equal numbers; with one channel each it is exact."""
    x, groups = call.args[0], call.args[1]
    vector = run.vector(x, 1)
    for position, name in ((2, "weight"), (3, "bias")):
        run.bound(call.get(position, name), vector)
    if groups == len(vector) and groups > 1:
        run.fix("num_groups", vector)
    elif bool((vector != vector[0]).any()):
        rows = vector.view(groups, -1)
        run.tie(rows, rows[:1])
        run.inexact.append((vector, run.why("its statistics are over the channels themselves")))
    run.fix("num_channels", vector)
    run.spread(run.classes.roots(vector), call.out, 1)
