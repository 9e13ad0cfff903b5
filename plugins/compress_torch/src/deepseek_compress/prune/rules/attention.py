"""Attention: positions inside the heads shrink by equal numbers in all heads."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from deepseek_compress.prune.rules.registry import Call, function
from deepseek_compress.prune.run import Run

_WIDTH = "the scale of attention changes with the width of a head"


@function("scaled_dot_product_attention")
def attention(run: Run, call: Call) -> None:
    """`softmax(q k^T / sqrt(width)) v` of (..., heads, positions, width)."""
    q, k, v = call.args[:3]
    query, key = run.vector(q, -1), run.vector(k, -1)
    run.tie(query, key) if len(query) == len(key) else None
    if call.kwargs.get("scale") is None and bool((query != query[0]).any()):
        run.inexact.append((query, run.why(_WIDTH)))
    run.saw(run.classes.roots(query))
    value = run.vector(v, -1)
    run.spread(value, call.out, -1)
    pairs = call.out.numel() / max(1, call.out.shape[-1]) * k.shape[-2]
    run.work(pairs, query)
    run.work(pairs, value)


@function("multi_head_attention_forward")
def multi_head(run: Run, call: Call) -> None:
    """The layer of torch: its inner width is that of its input, head by head.

    Position p of every head goes together with the input channels of the same numbers. The
    weights of the query are scaled, so that the softmax stays what it was.
    """
    named = _named(call)
    if _unusual(named):
        _keep_all(run, named, call)
        return
    query, heads = named["query"], named["num_heads"]
    outer = run.vector(query, -1)
    run.tie(outer.view(heads, -1), outer.view(heads, -1)[:1])
    outer = run.classes.roots(outer)
    inner = _inputs(run, named, outer)
    _output(run, named, inner, call)
    for attribute in ("embed_dim", "kdim", "vdim"):
        run.fix(attribute, outer)
    run.fix("head_dim", outer[: len(outer) // heads])


_NAMES = (
    "query",
    "key",
    "value",
    "embed_dim_to_check",
    "num_heads",
    "in_proj_weight",
    "in_proj_bias",
    "bias_k",
    "bias_v",
    "add_zero_attn",
    "dropout_p",
    "out_proj_weight",
    "out_proj_bias",
)


def _named(call: Call) -> dict[str, Any]:
    return {**dict(zip(_NAMES, call.args, strict=False)), **call.kwargs}


def _unusual(named: dict[str, Any]) -> bool:
    forms = ("bias_k", "bias_v", "static_k", "static_v")
    return bool(named.get("use_separate_proj_weight")) or any(
        named.get(f) is not None for f in forms
    )


def _keep_all(run: Run, named: dict[str, Any], call: Call) -> None:
    for name in ("query", "key", "value"):
        run.pin(run.known(named[name]), "attention with separate or added keys and values")
    for out in call.out:
        if out is not None:
            run.put(out, run.fixed(out))


def _inputs(run: Run, named: dict[str, Any], outer: Tensor) -> Tensor:
    """Tie query, key and value to the packed weight; ids of one third of its rows."""
    located = run.parameters.locate(named["in_proj_weight"])
    if located is None:
        raise run.refuse("its weights are computed, not parameters")
    columns = run.parameters.vector(located.name, 1)
    for name in ("query", "key", "value"):
        run.tie(run.vector(named[name], -1), columns)
    run.tie(outer, columns)
    rows = run.parameters.vector(located.name, 0, strong=True)
    run.tie(rows.view(3, -1), outer.view(1, -1))
    run.bound(named["in_proj_bias"], rows)
    run.weight(located.name, 0, 1, "attention")
    width = outer.view(named["num_heads"], -1)[0]
    run.scaled.append((located.name, len(outer), width))
    if named["in_proj_bias"] is not None:
        bias = run.parameters.name_of(named["in_proj_bias"])
        run.scaled.append((str(bias), len(outer), width))
    for name in ("query", "key", "value"):
        run.work(named[name].numel() / len(outer), outer, outer)
    return outer


def _output(run: Run, named: dict[str, Any], inner: Tensor, call: Call) -> None:
    located = run.parameters.locate(named["out_proj_weight"])
    if located is None:
        raise run.refuse("its weights are computed, not parameters")
    run.tie(inner, run.parameters.vector(located.name, 1))
    out = run.parameters.vector(located.name, 0, strong=True)
    run.bound(named["out_proj_bias"], out)
    run.spread(out, call.out[0], -1)
    run.weight(located.name, 0, 1, "linear")
    query, key = named["query"], named["key"]
    run.work(query.numel() / len(inner), inner, out)
    run.work(2 * query.numel() / len(inner) * math.prod(key.shape[:1]), inner)
    if call.out[1] is not None:
        run.put(call.out[1], run.fixed(call.out[1]))
