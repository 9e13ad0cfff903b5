"""What this plugin offers: a CPU device and a reader of ONNX models."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import DeviceSpec, FrontendSpec, HostContext, hookimpl, hooks

conformance = "deepseek_onnx.conformance"
settings = "deepseek_onnx.settings:Settings"


@hookimpl(hooks.ds_register_devices)
def ds_register_devices(ctx: HostContext) -> Iterable[DeviceSpec]:
    """Offer ONNX Runtime's CPU provider."""
    return [
        DeviceSpec(
            name="onnx_cpu",
            kind="cpu",
            factory="deepseek_onnx.device:open_device",
            probe="deepseek_onnx.device:probe",
            summary="ONNX Runtime on the CPU",
            requires=("onnxruntime", "onnx", "numpy"),
            whole_formats=("onnx",),
        )
    ]


@hookimpl(hooks.ds_register_frontends)
def ds_register_frontends(ctx: HostContext) -> Iterable[FrontendSpec]:
    """Offer the reader of `.onnx` files."""
    return [
        FrontendSpec(
            name="onnx",
            formats=("onnx",),
            factory="deepseek_onnx.frontend:OnnxFrontend",
            summary="reads ONNX models and cuts them into stages",
            requires=("onnxruntime", "onnx", "numpy"),
        )
    ]
