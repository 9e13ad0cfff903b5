import a_module_that_nobody_has  # noqa: F401

from deepseek_core import TierSpec, hookimpl, hooks


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="lacks_a_module",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.tiers:Sound",
        )
    ]
