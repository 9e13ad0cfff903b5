from bad_samples.table import SAMPLES, camel
from deepseek_core import FrontendSpec, hookimpl, hooks

conformance = "bad_samples.frontends_conformance"


@hookimpl(hooks.ds_register_frontends)
def frontends(ctx):
    return [
        FrontendSpec(
            name=name,
            formats=["other" if name == "names_another_format" else "toy"],
            factory=f"bad_samples.frontends:{camel(name)}",
        )
        for name in SAMPLES["frontend"]
    ]
