"""What this plugin offers: a step of recipes, the command `ds-sdk trt`, a row of `doctor`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CheckSpec, CommandSpec, CompressorSpec, HostContext, hookimpl, hooks

conformance = "deepseek_trt.conformance"


@hookimpl(hooks.ds_register_compressors)
def ds_register_compressors(ctx: HostContext) -> Iterable[CompressorSpec]:
    """Offer engines as targets of recipes."""
    return [
        CompressorSpec(
            name="trt_engine",
            target="model",
            takes="onnx",
            gives="engine",
            provides=("engine_manifest",),
            factory="deepseek_trt.step:BuildEngine",
            options="deepseek_trt.step:EngineOptions",
            summary="a TensorRT engine of a file, from the cache if it is there",
            lossy=False,
            requires=("onnx", "numpy"),
        )
    ]


@hookimpl(hooks.ds_register_commands)
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer `ds-sdk trt`."""
    return [
        CommandSpec(
            name="trt",
            main="deepseek_trt.cli.main:main",
            summary="check models for TensorRT, build engines, keep them",
            requires=("onnx", "numpy"),
        )
    ]


@hookimpl(hooks.ds_register_checks)
def ds_register_checks(ctx: HostContext) -> Iterable[CheckSpec]:
    """Offer a look at which flavors of TensorRT are here."""
    return [
        CheckSpec(
            name="tensorrt",
            run="deepseek_trt.doctor:check_flavors",
            summary="which flavors of TensorRT are here, and what is missing",
        )
    ]
