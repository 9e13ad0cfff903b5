"""What this plugin offers: a compressor of gradients, `ds-sdk train` and `ds-sdk ckpt`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CommandSpec, CompressorSpec, HostContext, hookimpl, hooks

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
