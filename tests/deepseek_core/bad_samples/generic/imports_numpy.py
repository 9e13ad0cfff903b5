import numpy  # noqa: F401

from deepseek_core import TierSpec, hookimpl, hooks


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="imports_numpy",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.tiers:Sound",
        )
    ]
