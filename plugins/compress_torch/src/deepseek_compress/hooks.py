"""What this plugin offers."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CompressorSpec, HostContext, hookimpl, hooks


@hookimpl(hooks.ds_register_compressors)
def ds_register_compressors(ctx: HostContext) -> Iterable[CompressorSpec]:
    """Offer the steps of model compression."""
    return []
