"""What this plugin offers: the application `trimodal`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import ApplicationSpec, HostContext, hookimpl, hooks

conformance = "deepseek_fusion.conformance"
_REQUIRES = ("torch", "onnx", "onnxruntime", "onnxscript", "PIL", "safetensors", "soundfile")


@hookimpl(hooks.ds_register_applications)
def ds_register_applications(ctx: HostContext) -> Iterable[ApplicationSpec]:
    """Offer the job."""
    return [
        ApplicationSpec(
            name="trimodal",
            factory="deepseek_fusion.job.app:Trimodal",
            options="deepseek_fusion.job.options:Options",
            tasks=("class", "retrieval"),
            data="a CSV file of texts, pictures, sounds and a label; cells may be empty",
            summary="tell classes apart by text, picture and sound together, or any of them",
            requires=_REQUIRES,
        )
    ]
