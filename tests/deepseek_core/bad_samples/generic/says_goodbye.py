import atexit

from deepseek_core import TierSpec, hookimpl, hooks

atexit.register(print, "goodbye")


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="says_goodbye",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.tiers:Sound",
        )
    ]
