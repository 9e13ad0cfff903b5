"""What this plugin offers: steps of recipes, and `ds-sdk compress`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CommandSpec, CompressorSpec, HostContext, hookimpl, hooks

conformance = "deepseek_compress.conformance"

_TORCH = ("torch", "onnxscript")


@hookimpl(hooks.ds_register_compressors)
def ds_register_compressors(ctx: HostContext) -> Iterable[CompressorSpec]:
    """Offer steps on modules, then steps that make files for runtimes."""
    return [
        CompressorSpec(
            name="prune",
            target="model",
            takes="torch",
            factory="deepseek_compress.steps.prune:Prune",
            options="deepseek_compress.steps.prune:PruneOptions",
            summary="remove channels until the budget is met",
            requires=_TORCH,
        ),
        CompressorSpec(
            name="recover_bn",
            target="model",
            takes="torch",
            needs=("train",),
            factory="deepseek_compress.steps.recover_bn:RecoverBn",
            options="deepseek_compress.train.options:RecoverOptions",
            summary="measure the statistics of batch normalization anew",
            requires=_TORCH,
        ),
        CompressorSpec(
            name="finetune",
            target="model",
            takes="torch",
            needs=("train",),
            factory="deepseek_compress.steps.finetune:Finetune",
            options="deepseek_compress.train.options:FitOptions",
            summary="train what is left",
            requires=_TORCH,
        ),
        CompressorSpec(
            name="distill",
            target="model",
            takes="torch",
            needs=("train", "original"),
            factory="deepseek_compress.steps.distill:Distill",
            options="deepseek_compress.train.options:DistillOptions",
            summary="train what is left with the original as its teacher",
            requires=_TORCH,
        ),
        CompressorSpec(
            name="qat",
            target="model",
            takes="torch",
            needs=("train", "calibration"),
            provides=("ranges",),
            factory="deepseek_compress.steps.quantize:Qat",
            options="deepseek_compress.steps.quantize:QatOptions",
            summary="train in the integers of the target, and ship that if it is better",
            needs_calibration=True,
            requires=(*_TORCH, "onnx", "onnxruntime"),
        ),
        CompressorSpec(
            name="ort_x86",
            target="model",
            takes="onnx",
            needs=("calibration",),
            factory="deepseek_compress.steps.lower:LowerForOnnxRuntime",
            options="deepseek_compress.steps.lower:LowerOptions",
            summary="int8 as ONNX Runtime runs it fast on x86",
            needs_calibration=True,
            requires=("onnx", "onnxruntime"),
        ),
        CompressorSpec(
            name="trt",
            target="model",
            takes="onnx",
            needs=("calibration",),
            factory="deepseek_compress.steps.lower:LowerForTensorRt",
            options="deepseek_compress.steps.lower:LowerOptions",
            summary="int8 as TensorRT takes it",
            needs_calibration=True,
            requires=("onnx", "onnxruntime"),
        ),
    ]


@hookimpl(hooks.ds_register_commands)
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer `ds-sdk compress`."""
    return [
        CommandSpec(
            name="compress",
            main="deepseek_compress.cli.main:main",
            summary="from a trained model and a budget to the file that a device wants",
        )
    ]
