"""Linear layers, convolutions and embeddings: a weight ends its inputs and opens its outputs."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from deepseek_compress.prune.classes import FIXED
from deepseek_compress.prune.rules.registry import Call, aten, function
from deepseek_compress.prune.run import Run


@function("linear")
def linear(run: Run, call: Call) -> None:
    """`x @ weight.T + bias`."""
    x, weight, bias = call.args[0], call.get(1, "weight"), call.get(2, "bias")
    if run.mirror.knows(weight):
        run.pin(run.known(weight), "a weight that is computed from the input")
    apply_linear(run, x, weight, call.out)
    _add_bias(run, call.out, bias, -1)


def apply_linear(run: Run, x: Tensor, weight: Tensor, out: Tensor) -> None:
    """Tie inputs to one axis of a weight (out, in); outputs have the ids of the other."""
    located = run.parameters.locate(weight)
    out_ids = (
        run.parameters.along(located, 0, strong=True) if located and weight.dim() == 2 else None
    )
    into = run.parameters.along(located, 1) if located and weight.dim() == 2 else None
    if (
        located is None
        or (weight.shape[0] > 1 and out_ids is None)
        or (weight.shape[1] > 1 and into is None)
    ):
        run.pin(run.known(x), "the weight is computed, not a parameter")
        run.put(out, run.fixed(out))
        return
    vector = run.vector(x, -1)
    if run.watch:
        run.watch(run.known(x), x, "input")
    if into is not None:
        run.tie(vector, into)
    else:
        run.pin(vector, "the weight has one input only")
    out_ids = run.classes.parent.new_full((weight.shape[0],), FIXED) if out_ids is None else out_ids
    run.spread(out_ids, out, -1)
    run.weight(located.name, located.axes[0], located.axes[1], "linear")
    run.fix("in_features", vector)
    run.fix("out_features", out_ids)
    run.work(out.numel() / max(1, out.shape[-1]), vector, out_ids)


def _add_bias(run: Run, out: Tensor, bias: Tensor | None, axis: int) -> None:
    if bias is None:
        return
    run.bound(bias, run.vector(out, axis))


def whole_groups(run: Run, name: str, groups: int, inputs: int) -> bool:
    """Whether a grouped convolution loses whole groups, rather than a part of each.

    The finer way is chosen when the weight is first met, and stays when it has shrunk.
    """
    return run.parameters.whole_groups.setdefault(name, groups > inputs)


@aten(
    "convolution",
    "mkldnn_convolution",
    "cudnn_convolution",
    "slow_conv_transpose2d",
    "miopen_convolution",
)
def convolution(run: Run, call: Call) -> None:
    """Convolutions of any rank, transposed ones too, with groups."""
    x, weight, bias = call.args[:3]
    transposed, groups = call.get(6, "transposed", False), call.get(8, "groups", 1)
    located = run.parameters.locate(weight)
    if located is None or located.axes[:2] != (0, 1):
        _computed_weight(run, x, weight, (call.out, groups))
        _add_bias(run, call.out, bias, 1)
        return
    vector = run.vector(x, 1)
    if run.watch:
        run.watch(run.known(x), x, "input")
    axis_out, axis_in = (1, 0) if transposed else (0, 1)
    out = _tie_groups(run, located.name, vector, (axis_out, axis_in, groups))
    run.spread(out, call.out, 1)
    kind = "conv" if groups == 1 else "grouped"
    if transposed and groups > 1 and whole_groups(run, located.name, groups, len(vector) // groups):
        run.weight(located.name, 0, None, kind)
    else:
        run.weight(located.name, axis_out, axis_in, kind)
    _conv_findings(run, vector, out, (weight, call.out, groups, transposed, x, located.name))
    _add_bias(run, call.out, bias, 1)


def _tie_groups(run: Run, name: str, vector: Tensor, how: tuple[int, int, int]) -> Tensor:
    """Tie the inputs of a weight, group by group; ids of the outputs.

    The axis that is as long as all groups has the ids of its channels; the other has one entry
    for each position inside a group.
    """
    axis_out, axis_in, groups = how
    whole = axis_out if axis_out == 0 else axis_in
    if groups == 1 and name not in run.parameters.whole_groups:
        run.tie(vector, run.parameters.vector(name, axis_in))
        return run.parameters.vector(name, axis_out, strong=True)
    long = run.parameters.vector(name, whole, strong=whole == axis_out)
    part = run.parameters.tensors[name].shape[1]
    short = run.parameters.vector(name, 1, strong=axis_out == 1)
    inputs, outputs = (vector.view(groups, -1), long.view(groups, -1))
    if axis_out == 1:
        run.tie(vector, long)
        outputs = short.expand(groups, part)
    if whole_groups(run, name, groups, inputs.shape[1]):
        run.pin(short, "positions inside small groups")
        run.tie(inputs, inputs[:, :1])
        if axis_out == 1:
            return _outputs_of_groups(run, inputs, part)
        run.tie(outputs, outputs[:, :1])
        run.tie(inputs[:, :1], outputs[:, :1])
        return long
    run.tie(inputs, inputs[:1])
    run.tie(outputs, outputs[:1])
    if axis_out == 1:
        return outputs.reshape(-1)
    run.tie(inputs[0], short)
    return long


def _outputs_of_groups(run: Run, inputs: Tensor, part: int) -> Tensor:
    """Outputs of a transposed depthwise convolution: those of its inputs' groups."""
    return inputs[:, :1].expand(-1, part).reshape(-1)


def _conv_findings(run: Run, vector: Tensor, out: Tensor, how: tuple[Any, ...]) -> None:
    weight, result, groups, transposed, x, name = how
    run.fix("in_channels", vector)
    run.fix("out_channels", out)
    places = (x if transposed else result).numel() / (x if transposed else result).shape[1]
    factor = places * math.prod(weight.shape[2:])
    inputs = len(vector) // groups
    if groups > 1 and whole_groups(run, name, groups, inputs):
        run.fix("groups", out[:: len(out) // groups])
        run.work(factor * inputs, out)
    elif groups > 1:
        run.work(factor, vector[:inputs], out)
    else:
        run.work(factor, vector, out)


def _computed_weight(run: Run, x: Tensor, weight: Tensor, how: tuple[Tensor, int]) -> None:
    """A weight that is no parameter: a blur that is the same for each channel lets them pass."""
    out, groups = how
    same = groups == x.shape[1] == out.shape[1] and not run.mirror.knows(weight)
    if same and run.parameters.name_of(weight) is None and bool((weight == weight[:1]).all()):
        run.spread(run.vector(x, 1), out, 1)
        return
    run.pin(run.known(x), "the weight is computed, not a parameter")
    run.pin(run.known(weight), "a weight that is computed from the input")
    run.put(out, run.fixed(out))


@function("embedding")
def embedding(run: Run, call: Call) -> None:
    """A row for each index; the width of the rows is what can shrink."""
    located = run.parameters.locate(call.get(1, "weight"))
    if located is None or located.axes[1] is None:
        run.put(call.out, run.fixed(call.out))
        return
    out = run.parameters.along(located, 1, strong=True)
    assert out is not None
    run.spread(out, call.out, -1)
    run.weight(located.name, located.axes[1], None, "embedding")
    run.fix("embedding_dim", out)


@function("prelu")
def prelu(run: Run, call: Call) -> None:
    """A slope for each channel, or one for all."""
    x, weight = call.args[0], call.get(1, "weight")
    vector = run.vector(x, 1) if x.dim() > 1 else run.vector(x, 0)
    if weight.numel() > 1:
        run.bound(weight, vector)
        run.fix("num_parameters", vector)
    run.put(call.out, run.known(x))
    if run.watch:
        run.watch(run.known(call.out), call.out, "prelu")


@function("bilinear")
def bilinear(run: Run, call: Call) -> None:
    """Two inputs at once: all stay."""
    for each in call.args[:2]:
        run.pin(run.known(each), "a bilinear layer")
    run.put(call.out, run.fixed(call.out))
