"""OpenVINO on the CPU: its provider for ONNX Runtime, described to `deepseek_onnx.provider`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from deepseek_core import Device, DeviceInfo, DeviceSpec, HostContext, OpenOptions, hookimpl, hooks

if TYPE_CHECKING:
    from deepseek_onnx.provider import Provider

conformance = "deepseek_openvino.conformance"
settings = "deepseek_onnx.settings:ProviderSettings"


@hookimpl(hooks.ds_register_devices)
def ds_register_devices(ctx: HostContext) -> Iterable[DeviceSpec]:
    """Offer OpenVINO's CPU device."""
    return [
        DeviceSpec(
            name="openvino_cpu",
            kind="cpu",
            factory="deepseek_openvino.hooks:open_device",
            probe="deepseek_openvino.hooks:probe",
            summary="OpenVINO on the CPU, by its provider for ONNX Runtime",
            requires=("onnxruntime", "onnx", "numpy", "onnxruntime_ep_openvino"),
            whole_formats=("onnx",),
        )
    ]


def provider() -> Provider:
    """The provider and how it is set: float32 stays float32, threads are those granted."""
    from deepseek_onnx.provider import Provider
    from deepseek_openvino.limits import input_refusal, refusal

    return Provider(
        id="openvino:cpu",
        kind="cpu",
        name="OpenVINOExecutionProvider",
        library="onnxruntime_ep_openvino",
        device={"ov_device": "CPU"},
        options=_options,
        uses_host_cores=True,
        refusal=refusal,
        input_refusal=input_refusal,
        remedy="pip install -U onnxruntime-ep-openvino, on a machine with a CPU of Intel's",
    )


def _options(runs: int, threads: int) -> dict[str, str]:
    import json

    cpu = {
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16, where the CPU has it
        "INFERENCE_NUM_THREADS": str(runs * threads),
        "NUM_STREAMS": str(runs),
    }
    return {"load_config": json.dumps({"CPU": cpu})}


def probe() -> Iterable[DeviceInfo]:
    """The CPU, or why it can't be had."""
    return provider().probe()


def open_device(device_id: str, options: OpenOptions) -> Device:
    """Open the CPU."""
    return provider().open(device_id, options)
