from pathlib import Path

from deepseek_core import TierSpec, hookimpl, hooks


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    Path("diary").write_text("listed")
    return [
        TierSpec(
            name="keeps_a_diary",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.tiers:Sound",
        )
    ]
