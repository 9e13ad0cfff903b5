"""What this plugin offers: the command `ds-sdk trt` and a row of `doctor`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CheckSpec, CommandSpec, HostContext, hookimpl, hooks

conformance = "deepseek_trt.conformance"


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
