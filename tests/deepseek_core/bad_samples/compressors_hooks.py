from bad_samples.table import SAMPLES, camel
from deepseek_core import CompressorSpec, hookimpl, hooks

conformance = "bad_samples.compressors_conformance"


@hookimpl(hooks.ds_register_compressors)
def compressors(ctx):
    return [
        CompressorSpec(
            name=name,
            target="data",
            factory=f"bad_samples.compressors:{camel(name)}",
            lossy=name != "claims_to_lose_nothing",
        )
        for name in SAMPLES["compressor"]
    ]
