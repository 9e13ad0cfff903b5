"""What this plugin offers: an object store as a tier."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import HostContext, TierSpec, hookimpl, hooks

conformance = "deepseek_storage_s3.conformance"


@hookimpl(hooks.ds_register_storage_tiers)
def ds_register_storage_tiers(ctx: HostContext) -> Iterable[TierSpec]:
    """Offer buckets of any S3 endpoint."""
    return [
        TierSpec(
            name="s3",
            temperature="cold",
            schemes=("s3",),
            factory="deepseek_storage_s3.tier:open_tier",
            summary="a bucket of an S3 object store",
            capabilities=("durable-put", "ranged-get", "failure-domains"),
            requires=("obstore",),
        )
    ]
