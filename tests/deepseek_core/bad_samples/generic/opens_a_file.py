from pathlib import Path

from deepseek_core import TierSpec, hookimpl, hooks

kept = Path(__file__).open()  # noqa: SIM115 - that is its fault


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="opens_a_file",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.tiers:Sound",
        )
    ]
