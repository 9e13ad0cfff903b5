import os

from deepseek_core import TierSpec, hookimpl, hooks


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="tells_its_process",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.tiers:Sound",
            summary=f"process {os.getpid()}",
        )
    ]
