"""What this plugin offers: strategies, a compressor of gradients, and `ds-sdk train`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import (
    CommandSpec,
    CompressorSpec,
    HostContext,
    StrategySpec,
    hookimpl,
    hooks,
)

conformance = "deepseek_parallel.conformance"


@hookimpl(hooks.ds_register_compressors)
def ds_register_compressors(ctx: HostContext) -> Iterable[CompressorSpec]:
    """Offer the largest 1 % of an array."""
    return [
        CompressorSpec(
            name="topk",
            target="gradient",
            factory="deepseek_parallel.codec.compressor:TopK",
            summary="the largest 1 % of a gradient, in 12 bits each",
        )
    ]


_STRATEGIES = (
    # name, axes, class, any number of ranks, summary
    ("ddp", ("dp",), "Replicas", True, "a replica of the model on each rank"),
    ("fsdp", ("dp",), "Shards", True, "replicas that keep a part of each parameter each"),
    ("tp", ("tp",), "Tensors", False, "linear layers divided over ranks, in proven pairs"),
    ("pp", ("pp",), "Stages", False, "a pipeline: 1F1B, interleaved or zero bubble"),
    ("hybrid", ("pp", "dp", "tp"), "Hybrid", False, "any mesh of stages, replicas and tensors"),
)


@hookimpl(hooks.ds_register_parallel_strategies)
def ds_register_parallel_strategies(ctx: HostContext) -> Iterable[StrategySpec]:
    """Offer five ways to split an `nn.Module` over ranks."""
    return [
        StrategySpec(
            name=name,
            axes=axes,
            factory=f"deepseek_parallel.strategies.strategy:{cls}",
            summary=summary,
            elastic=is_elastic,
        )
        for name, axes, cls, is_elastic, summary in _STRATEGIES
    ]


@hookimpl(hooks.ds_register_commands)
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer `ds-sdk train`."""
    return [
        CommandSpec(
            name="train",
            main="deepseek_parallel.cli.main:main",
            summary="which mesh trains a model fastest on a cluster, and what it would take",
            requires=("numpy",),
        )
    ]
