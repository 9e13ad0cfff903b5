"""What this plugin offers: three applications, and `ds-sdk app` for those of anybody."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import ApplicationSpec, CommandSpec, HostContext, hookimpl, hooks

_EXPORT = ("torch", "onnx", "onnxruntime", "onnxscript")

conformance = "deepseek_apps.conformance"

# name; tasks; format of the data; what it does; what it requires
_JOBS = (
    ("ctr", ("click",), "a CSV file with a column of clicks (0 or 1)",
     "click prediction: calibrated probabilities from feature crosses", ("sklearn",)),
    ("defects", ("defect", "localization"), "a folder of pictures by class, masks where there are",
     "inspection: which part is faulty, where, and above which threshold to stop it", ("PIL",)),
    ("translate", ("translation",), "two text files, or a TSV file, with a sentence a line",
     "translation, learned with related tasks", ("sentencepiece", "sacrebleu", "ctranslate2")),
)  # fmt: skip


@hookimpl(hooks.ds_register_applications)
def ds_register_applications(ctx: HostContext) -> Iterable[ApplicationSpec]:
    """Offer the three applications; their code is imported when one is opened."""
    for name, tasks, data, summary, requires in _JOBS:
        yield ApplicationSpec(
            name=name,
            tasks=tasks,
            data=data,
            summary=summary,
            factory=f"deepseek_apps.{name}.job:{name.title()}",
            options=f"deepseek_apps.{name}.options:Options",
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
