from deepseek_core import TierSpec, hookimpl, hooks


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="writes_late",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.late_file:Sound",
        )
    ]
