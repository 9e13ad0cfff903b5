"""Elementwise operators: the channels that meet are one class."""

from __future__ import annotations

from torch import Tensor

from deepseek_compress.prune.classes import FIXED, collapse, varying
from deepseek_compress.prune.rules.registry import Call, aten
from deepseek_compress.prune.run import Run, tensors_in

# Operators that `watch` is told of: what they return says how much a channel is used.
ACTIVATIONS = {
    "relu",
    "relu_",
    "hardtanh",
    "hardtanh_",
    "clamp",
    "clamp_min",
    "leaky_relu",
    "leaky_relu_",
    "gelu",
    "silu",
    "silu_",
    "hardswish",
    "hardswish_",
    "elu",
    "elu_",
    "mish",
    "mish_",
    "softplus",
    "celu",
    "selu",
    "sigmoid",
    "tanh",
    "prelu",
}


def pointwise(run: Run, call: Call) -> None:
    """Merge all operands; the result has the merged ids."""
    out = call.out if isinstance(call.out, Tensor) else tensors_in(call.out)[0]
    ids = merge_all(run, tensors_in([call.args, call.kwargs]), out)
    if ids is None:
        return
    for each in tensors_in(call.out):
        run.put(each, ids)
    if run.watch and call.name in ACTIVATIONS:
        run.watch(ids, out, call.name)


def merge_all(run: Run, tensors: list[Tensor], out: Tensor) -> Tensor | None:
    """Ids of the result of elementwise operands; None if none is an activation."""
    rank, constants = out.dim(), []
    merged: Tensor | None = None
    shape: tuple[int, ...] = ()
    for tensor in tensors:
        ids = run.promote(tensor)
        if ids is None:
            constants.append(tensor)
            continue
        lead = rank - tensor.dim()
        ids, extents = (
            ids.reshape((1,) * lead + tuple(ids.shape)),
            (1,) * lead + _own_extents(tensor),
        )
        if merged is None:
            merged, shape = ids, extents
        else:
            merged = _merge(run, merged, ids, (shape, extents))
            shape = tuple(max(a, b) for a, b in zip(shape, extents, strict=True))
    if merged is not None:
        for constant in constants:
            _meet_constant(run, merged, constant)
    return None if merged is None else collapse(run.classes.roots(merged))


def _own_extents(tensor: Tensor) -> tuple[int, ...]:
    """The shape, with 1 where a tensor is expanded."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return tuple(1 if stride == 0 else extent for extent, stride in pairs)


def _merge(run: Run, a: Tensor, b: Tensor, shapes: tuple[tuple[int, ...], ...]) -> Tensor:
    """Merge two operands of one rank; `shapes` are theirs."""
    axes_a, axes_b = set(varying(a)), set(varying(b))
    spread_a = any(shapes[0][axis] == 1 for axis in axes_b)
    spread_b = any(shapes[1][axis] == 1 for axis in axes_a)
    if axes_a and axes_b and (spread_a or spread_b or not (axes_a & axes_b)):
        if not (axes_a <= axes_b and not spread_b) and not (axes_b <= axes_a and not spread_a):
            return _cross(run, a, b)
    elif spread_a:
        run.pin(a, "one channel is spread over many")
        return b
    elif spread_b:
        run.pin(b, "one channel is spread over many")
        return a
    if run.classes.frozen and a.numel() == b.numel() == 1:
        return _last_channel(run, a, b)
    run.tie(a, b)
    return a if a.numel() >= b.numel() else b


def _last_channel(run: Run, a: Tensor, b: Tensor) -> Tensor:
    """Where one channel was left of many, what is spread over them looks like their equal."""
    stays_a, stays_b = (bool(run.classes.pinned[run.classes.roots(each)].all()) for each in (a, b))
    if stays_a == stays_b:
        run.tie(a, b)
    return b if stays_a else a


def _cross(run: Run, a: Tensor, b: Tensor) -> Tensor:
    """Channels of two sorts along two axes: a parameter stays, two activations both do."""
    strong_a, strong_b = _strong(run, a), _strong(run, b)
    text = "channels along two axes are combined"
    if not strong_a:
        run.pin(a, text)
        return b
    run.pin(b, text)
    if not strong_b:
        return a
    run.pin(a, text)
    return a.new_full((1,) * a.dim(), FIXED)


def _strong(run: Run, ids: Tensor) -> bool:
    return bool(run.classes.strong[run.classes.roots(ids)].any())


def _meet_constant(run: Run, ids: Tensor, constant: Tensor) -> None:
    """A constant that differs from channel to channel keeps them all where they are."""
    if constant.numel() <= 1:
        return
    lead = ids.dim() - constant.dim()
    for axis in varying(ids):
        own = axis - lead
        if own >= 0 and constant.shape[own] > 1:
            first = constant.narrow(own, 0, 1)
            if not bool(((constant == first) | (constant.isnan() & first.isnan())).all()):
                run.pin(ids, "a constant that differs from channel to channel")
                return


# Elementwise, though torch does not tag them so.
aten(
    "hardswish",
    "hardswish_",
    "rsub",
    "log_sigmoid_forward",
    "tril",
    "triu",
    "native_dropout",
    "rrelu_with_noise",
    "clip",
    "to",
    "_to_copy",
    "clone",
    "contiguous",
    "alias_copy",
    "detach_copy",
    "detach",
    "alias",
    "lift_fresh",
    "lift",
    "square",
    "dropout",
    "angle",
    "real",
    "imag",
    "bernoulli",
    "fake_quantize_per_tensor_affine",
    "frexp",
)(pointwise)
