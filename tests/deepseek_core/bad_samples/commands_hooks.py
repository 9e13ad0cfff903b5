from bad_samples.table import SAMPLES
from deepseek_core import CommandSpec, hookimpl, hooks

conformance = "bad_samples.commands_conformance"


@hookimpl(hooks.ds_register_commands)
def commands(ctx):
    return [
        CommandSpec(name=name, main=f"bad_samples.commands:{name.replace('-', '_')}")
        for name in SAMPLES["command"]
    ]
