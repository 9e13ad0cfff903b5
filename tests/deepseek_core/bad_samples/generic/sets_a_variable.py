import os

from deepseek_core import TierSpec, hookimpl, hooks

os.environ["BAD_SAMPLE"] = "1"


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="sets_a_variable",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.tiers:Sound",
        )
    ]
