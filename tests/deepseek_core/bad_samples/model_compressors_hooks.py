from bad_samples.table import SAMPLES, camel
from deepseek_core import CompressorSpec, hookimpl, hooks

conformance = "bad_samples.model_compressors_conformance"


@hookimpl(hooks.ds_register_compressors)
def compressors(ctx):
    return [
        CompressorSpec(
            name=name,
            target="model",
            takes="arrays",
            provides=("note",),
            factory=f"bad_samples.model_compressors:{camel(name)}",
        )
        for name in SAMPLES["model_compressor"]
    ]
