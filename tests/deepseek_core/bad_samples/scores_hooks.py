from bad_samples.table import SAMPLES
from deepseek_core import CompressorSpec, hookimpl, hooks

conformance = "bad_samples.scores_conformance"


@hookimpl(hooks.ds_register_compressors)
def compressors(ctx):
    return [
        CompressorSpec(name=name, target="channels", factory=f"bad_samples.scores:{name}")
        for name in SAMPLES["score"]
    ]
