"""What this plugin offers: local disks as tiers."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import HostContext, TierSpec, hookimpl, hooks

conformance = "deepseek_storage_local.conformance"

_FACTORY = "deepseek_storage_local.tier:open_tier"
_CAPABILITIES = ("durable-put", "ranged-get", "failure-domains")


@hookimpl(hooks.ds_register_storage_tiers)
def ds_register_storage_tiers(ctx: HostContext) -> Iterable[TierSpec]:
    """Offer folders on SSDs and on hard disks; one URL scheme opens both."""
    return [
        TierSpec(
            name="local_ssd",
            temperature="hot",
            schemes=("file",),
            factory=_FACTORY,
            summary="folders on SSDs; failure domains are subfolders",
            capabilities=_CAPABILITIES,
        ),
        TierSpec(
            name="local_hdd",
            temperature="warm",
            schemes=("file",),
            factory=_FACTORY,
            summary="folders on hard disks; failure domains are subfolders",
            capabilities=_CAPABILITIES,
        ),
    ]
