from bad_samples.table import SAMPLES, camel
from deepseek_core import ExecutorSpec, hookimpl, hooks

conformance = "bad_samples.executors_conformance"


@hookimpl(hooks.ds_register_executors)
def executors(ctx):
    return [
        ExecutorSpec(name=name, factory=f"bad_samples.executors:{camel(name)}")
        for name in SAMPLES["executor"]
    ]
