from bad_samples.table import SAMPLES, camel
from deepseek_core import ApplicationSpec, hookimpl, hooks

conformance = "bad_samples.applications_conformance"


@hookimpl(hooks.ds_register_applications)
def applications(ctx):
    return [
        ApplicationSpec(
            name=name,
            tasks=("above",),
            data="" if name == "says_nothing" else "numbers, a line each",
            factory=f"bad_samples.applications:{camel(name)}",
        )
        for name in SAMPLES["application"]
    ]
