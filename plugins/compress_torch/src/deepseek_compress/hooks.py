"""What this plugin offers: steps of recipes, and `ds-sdk compress`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CommandSpec, CompressorSpec, HostContext, hookimpl, hooks

conformance = "deepseek_compress.conformance"

_TORCH, _ONNX = ("torch", "onnxscript"), ("onnx", "onnxruntime")
_TRAIN, _TEACHER, _SAMPLES = ("train",), ("train", "original"), ("calibration",)
_LEARN = (*_TRAIN, *_SAMPLES)

# name, what it does; step and options; what it needs, and what it provides
_ON_MODULES = (
    ("prune", "remove channels until the budget is met",
     "deepseek_compress.steps.prune:Prune",
     "deepseek_compress.steps.prune:PruneOptions", (), ()),
    ("recover_bn", "measure the statistics of batch normalization again",
     "deepseek_compress.steps.recover_bn:RecoverBn",
     "deepseek_compress.train.options:RecoverOptions", _TRAIN, ()),
    ("finetune", "train what is left",
     "deepseek_compress.steps.finetune:Finetune",
     "deepseek_compress.train.options:FitOptions", _TRAIN, ()),
    ("distill", "train what is left with the original as its teacher",
     "deepseek_compress.steps.distill:Distill",
     "deepseek_compress.train.options:DistillOptions", _TEACHER, ()),
    ("qat", "train in the integers of the target, and ship that if it is better",
     "deepseek_compress.steps.quantize:Qat",
     "deepseek_compress.steps.quantize:QatOptions", _LEARN, ("ranges",)),
)  # fmt: skip
_ON_FILES = (
    ("ort_x86", "int8 as ONNX Runtime runs it fast on x86",
     "deepseek_compress.steps.lower:LowerForOnnxRuntime",
     "deepseek_compress.steps.lower:LowerOptions", _SAMPLES, ()),
    ("trt", "int8 as TensorRT takes it",
     "deepseek_compress.steps.lower:LowerForTensorRt",
     "deepseek_compress.steps.lower:LowerOptions", _SAMPLES, ()),
)  # fmt: skip


@hookimpl(hooks.ds_register_compressors)
def ds_register_compressors(ctx: HostContext) -> Iterable[CompressorSpec]:
    """Offer steps on modules, then steps that make files for runtimes."""
    for takes, table in (("torch", _ON_MODULES), ("onnx", _ON_FILES)):
        for name, summary, step, options, needs, provides in table:
            calibrates = "calibration" in needs
            yield CompressorSpec(
                name=name,
                target="model",
                takes=takes,
                needs=needs,
                provides=provides,
                factory=step,
                options=options,
                summary=summary,
                needs_calibration=calibrates,
                requires=(*(_TORCH if takes == "torch" else ()), *(_ONNX if calibrates else ())),
            )


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
