from bad_samples.table import SAMPLES, camel
from deepseek_core import TierSpec, hookimpl, hooks

conformance = "bad_samples.tiers_conformance"


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name=name,
            temperature="hot",
            schemes=["bad"],
            factory=f"bad_samples.tiers:{camel(name)}",
        )
        for name in SAMPLES["tier"]
    ]
