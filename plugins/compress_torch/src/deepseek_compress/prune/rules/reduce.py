"""Reductions, softmax, pooling and resampling."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from deepseek_compress.prune.classes import varying
from deepseek_compress.prune.rules.registry import Call, aten
from deepseek_compress.prune.run import Run, tensors_in

# A channel of zeros adds nothing to these, so leaving it out changes nothing.
_ADDITIVE = {"sum", "linalg_vector_norm", "norm"}
_DIM = {"linalg_vector_norm": 2, "norm": 2}


@aten(
    "sum",
    "mean",
    "amax",
    "amin",
    "max",
    "min",
    "var",
    "std",
    "logsumexp",
    "prod",
    "any",
    "all",
    "norm",
    "linalg_vector_norm",
    "argmax",
    "argmin",
    "var_mean",
    "std_mean",
    "nansum",
    "count_nonzero",
    "median",
)
def reduction(run: Run, call: Call) -> None:
    """Keep ids along the axes that are left; channels that are summed are seen by the sum."""
    source, outs = call.args[0], tensors_in(call.out)
    if len(call.args) > 1 and isinstance(call.args[1], Tensor):
        raise run.refuse("an elementwise operator under the name of a reduction")
    axes = _axes(call, source)
    ids = run.known(source)
    over = [axis for axis in axes if ids.shape[axis] > 1]
    if over:
        _reduce_channels(run, call, ids, over)
        result = [run.fixed(out) for out in outs]
    else:
        kept = [axis for axis in range(source.dim()) if axis not in axes]
        shape = [ids.shape[axis] for axis in kept]
        result = [ids if out.dim() == source.dim() else ids.reshape(shape) for out in outs]
    for out, each in zip(outs, result, strict=True):
        run.put(out, each)


def _axes(call: Call, source: Tensor) -> list[int]:
    given: Any = call.get(_DIM.get(call.name, 1), "dim")
    if given is None or isinstance(given, bool) or given in ([], ()):
        return list(range(source.dim()))
    axes = [given] if isinstance(given, int) else list(given)
    return [axis % max(source.dim(), 1) for axis in axes]


def _reduce_channels(run: Run, call: Call, ids: Tensor, over: list[int]) -> None:
    if call.name not in _ADDITIVE or set(varying(ids)) != set(over):
        run.pin(ids, "a figure over all channels")
    run.saw(ids)


@aten(
    "_softmax",
    "_log_softmax",
    "softmax",
    "log_softmax",
    "cumsum",
    "cumprod",
    "logcumsumexp",
    "_safe_softmax",
    "cummax",
    "cummin",
)
def along(run: Run, call: Call) -> None:
    """Operators along one axis that give a value for each of its entries."""
    source = call.args[0]
    ids = run.known(source)
    dim = call.get(1, "dim")
    if ids.dim() and ids.shape[dim] > 1:
        run.pin(ids, "a figure over all channels")
        run.saw(ids)
    for out in tensors_in(call.out):
        run.put(out, ids)


_SPATIAL = {"1d": 1, "2d": 2, "3d": 3}


@aten(
    *(
        f"{kind}{d}{tail}"
        for d in _SPATIAL
        for kind, tail in (
            ("avg_pool", ""),
            ("adaptive_avg_pool", ""),
            ("_adaptive_avg_pool", ""),
            ("max_pool", "_with_indices"),
            ("max_pool", ""),
            ("adaptive_max_pool", ""),
            ("fractional_max_pool", ""),
            ("reflection_pad", ""),
            ("replication_pad", ""),
            ("upsample_nearest", ""),
            ("_upsample_nearest_exact", ""),
            ("upsample_linear", ""),
            ("upsample_bilinear", ""),
            ("upsample_trilinear", ""),
            ("upsample_bicubic", ""),
            ("_upsample_bilinear", "_aa"),
            ("_upsample_bicubic", "_aa"),
            ("grid_sampler_", ""),
            ("im2col", ""),
        )
        if f"{kind}{d}{tail}" != "im2col1d"
    ),
    "mkldnn_max_pool2d",
)
def spatial(run: Run, call: Call) -> None:
    """Pooling and resampling of the trailing axes: channels stay what they are."""
    source = call.args[0]
    count = next((n for tail, n in _SPATIAL.items() if tail in call.name), 2)
    trailing = list(range(source.dim() - count, source.dim()))
    ids = run.tie_over(run.known(source), trailing)
    for out in tensors_in(call.out):
        run.put(out, ids)


@aten("glu")
def glu(run: Run, call: Call) -> None:
    """Each channel of one half gates that of the other."""
    source = call.args[0]
    dim = call.get(1, "dim", -1) % source.dim()
    ids = run.known(source)
    if ids.shape[dim] > 1:
        first, second = ids.chunk(2, dim)
        run.tie(first, second)
        ids = first
    run.saw(ids)
    run.put(call.out, ids)
