"""What this plugin offers: three applications, and `ds-sdk app` for those of anybody."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import ApplicationSpec, CommandSpec, HostContext, hookimpl, hooks

_EXPORT = ("torch", "onnx", "onnxruntime", "onnxscript")

conformance = "deepseek_apps.conformance"

# name; tasks; format of the data; what it does; code and options; what it requires
_JOBS = (
    ("ctr", ("click",), "a CSV file, plain or gzip, with a column of clicks (0 or 1)",
     "click prediction: calibrated probabilities from feature crosses",
     "deepseek_apps.ctr.job:Ctr", "deepseek_apps.ctr.options:Options", ("sklearn",)),
    ("defects", ("defect", "localization"), "a folder of pictures by class, masks where there are",
     "inspection: which part is faulty, where, and above which threshold to stop it",
     "deepseek_apps.defects.job:Defects", "deepseek_apps.defects.options:Options", ("PIL",)),
    ("translate", ("translation",), "two text files, or a TSV file, with a sentence a line",
     "translation, learned with related tasks",
     "deepseek_apps.translate.job:Translate", "deepseek_apps.translate.options:Options",
     ("sentencepiece", "sacrebleu", "ctranslate2")),
)  # fmt: skip


@hookimpl(hooks.ds_register_applications)
def ds_register_applications(ctx: HostContext) -> Iterable[ApplicationSpec]:
    """Offer the three applications; their code is imported when one is opened."""
    for name, tasks, data, summary, factory, options, requires in _JOBS:
        yield ApplicationSpec(
            name=name,
            tasks=tasks,
            data=data,
            summary=summary,
            factory=factory,
            options=options,
            requires=(*_EXPORT, *requires),
        )


@hookimpl(hooks.ds_register_commands)
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer `ds-sdk app`."""
    return [
        CommandSpec(
            name="app",
            main="deepseek_apps.cli.main:main",
            summary="jobs, from your data to files that answer: prepare, train, evaluate, export",
        )
    ]
