"""What this plugin offers: strategies, a compressor of gradients, `ds-sdk train` and `ckpt`."""

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
            summary="the largest 1 % of a gradient, in 11 bits each",
        )
    ]


_STRATEGIES = (
    StrategySpec(
        name="ddp",
        axes=("dp",),
        factory="deepseek_parallel.strategies.strategy:Replicas",
        summary="a replica of the model on each rank",
        elastic=True,
    ),
    StrategySpec(
        name="fsdp",
        axes=("dp",),
        factory="deepseek_parallel.strategies.strategy:Shards",
        summary="replicas that keep a part of each parameter each",
        elastic=True,
    ),
    StrategySpec(
        name="tp",
        axes=("tp",),
        factory="deepseek_parallel.strategies.strategy:Tensors",
        summary="linear layers divided over ranks, in proven pairs",
    ),
    StrategySpec(
        name="pp",
        axes=("pp",),
        factory="deepseek_parallel.strategies.strategy:Stages",
        summary="a pipeline: 1F1B, interleaved or zero bubble",
    ),
    StrategySpec(
        name="hybrid",
        axes=("pp", "dp", "tp"),
        factory="deepseek_parallel.strategies.strategy:Hybrid",
        summary="any mesh of stages, replicas and tensors",
    ),
)


@hookimpl(hooks.ds_register_parallel_strategies)
def ds_register_parallel_strategies(ctx: HostContext) -> Iterable[StrategySpec]:
    """Offer five ways to split an `nn.Module` over ranks."""
    return _STRATEGIES


@hookimpl(hooks.ds_register_commands)
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer `ds-sdk train` and `ds-sdk ckpt`."""
    return [
        CommandSpec(
            name="train",
            main="deepseek_parallel.cli.main:main",
            summary="which mesh trains a model fastest on a cluster, and what it would take",
            requires=("numpy",),
        ),
        CommandSpec(
            name="ckpt",
            main="deepseek_parallel.ckpt_cli.main:main",
            summary="checkpoints of a training: list, verify, prune, reshard, export",
            requires=("fsspec",),
        ),
    ]
