import itertools

from deepseek_core import TierSpec, hookimpl, hooks

calls = itertools.count()


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="counts_its_calls",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.tiers:Sound",
            summary=f"call {next(calls)}",
        )
    ]
