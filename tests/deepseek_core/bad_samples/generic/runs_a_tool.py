import subprocess

from deepseek_core import TierSpec, hookimpl, hooks

subprocess.run(["true"], check=True)


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="runs_a_tool",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.tiers:Sound",
        )
    ]
