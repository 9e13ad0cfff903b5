"""What this plugin offers: NVIDIA GPUs as devices, readers of what else they run, `doctor` rows."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CheckSpec, DeviceSpec, FrontendSpec, HostContext, hookimpl, hooks

conformance = "deepseek_cuda.conformance"
settings = "deepseek_cuda.settings:Settings"


@hookimpl(hooks.ds_register_devices)
def ds_register_devices(ctx: HostContext) -> Iterable[DeviceSpec]:
    """Offer every GPU and MIG instance that this process sees."""
    return [
        DeviceSpec(
            name="cuda",
            kind="gpu",
            summary="ONNX models, engines and torch programs on NVIDIA GPUs",
            factory="deepseek_cuda.opening:open_device",
            probe="deepseek_cuda.probe:probe",
            requires=("pynvml", "onnx", "numpy"),
        )
    ]


@hookimpl(hooks.ds_register_frontends)
def ds_register_frontends(ctx: HostContext) -> Iterable[FrontendSpec]:
    """Offer readers of TensorRT engines and of programs of torch.export."""
    return [
        FrontendSpec(
            name="trt_engine",
            formats=["engine"],
            factory="deepseek_cuda.trt_engines.frontend:EngineFrontend",
            summary="TensorRT engines of deepseek-trt",
            needs_file=True,
        ),
        FrontendSpec(
            name="torch_program",
            formats=["pt2"],
            factory="deepseek_cuda.torch_programs.frontend:ProgramFrontend",
            summary="programs of torch.export, without pickle",
            magic=b"PK\x03\x04",
        ),
    ]


@hookimpl(hooks.ds_register_checks)
def ds_register_checks(ctx: HostContext) -> Iterable[CheckSpec]:
    """Offer a look at the GPUs of this machine."""
    return [
        CheckSpec(
            name="gpus",
            run="deepseek_cuda.doctor:check_gpus",
            summary="which GPUs are here, and what is missing to use them",
            requires=("pynvml",),
        ),
    ]
