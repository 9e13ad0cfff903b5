from deepseek_core import TierSpec, hookimpl, hooks


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="names_no_module",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.nowhere:Tier",
        )
    ]
