import attrs

from deepseek_core import TierSpec, hookimpl, hooks


@attrs.frozen(kw_only=True, eq=False)
class Mine(TierSpec):
    __eq__ = object.__eq__
    __hash__ = object.__hash__


MINE = Mine(
    name="never_equals",
    temperature="hot",
    schemes=["bad"],
    factory="bad_samples.tiers:Sound",
)


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [MINE]
