"""Five latency budgets on the CPU device: what a plan predicts, and what its file takes.

The planner follows float layers where the float file ships, int8 layers where the int8 file does.
"""

import statistics
from contextlib import contextmanager
from functools import partial

import attrs

BUDGETS = (0.8, 0.65, 0.5, 0.4, 0.3)  # of what the original takes


def quiet(_done, _of, _text):
    """Report no progress."""


def device(seconds):
    """The budget of a plan: the CPU, one thread, the median."""
    from deepseek_core import compression

    return compression.LatencyBudget(device="cpu", seconds=seconds, quantile=0.5)


def five_budgets(report, folder, model, context, *, int8):
    """Is each first plan within 10 % of its budget, and the median prediction within 10 %?"""
    name = "int8" if int8 else "float"
    write = partial(_write_int8 if int8 else _write_float, context=context)
    files = {"original": folder / f"{name}-original.onnx"}
    write(model, files["original"])
    whole_s = _median_s(files, context)["original"]
    plans = {}
    with _predictor(model, context, whole_s, int8=int8) as predicted:
        for share in BUDGETS:
            budget = whole_s * share
            pruned, told_s = _pruned(model, context, predicted, budget)
            files[f"{share:.0%}"] = folder / f"{name}-{share}.onnx"
            write(pruned, files[f"{share:.0%}"])
            plans[f"{share:.0%}"] = budget, told_s
    found = _median_s(files, context)
    # The machine may have been slower or faster when the budgets were made: the original tells.
    drift = found.pop("original") / whole_s
    print(f"\n{name}: the original took {whole_s * 1e3:.1f} ms, {drift:.2f}x of that in the end")
    print("budget ms, predicted ms, measured ms")
    misses, errors = [], []
    for label, (wanted_s, told_s) in plans.items():
        took_s = found[label] / drift
        print(f"  {wanted_s * 1e3:8.2f} {told_s * 1e3:8.2f} {took_s * 1e3:8.2f}")
        misses.append(took_s / wanted_s - 1)
        errors.append(abs(told_s / took_s - 1))
    report.at_most(f"{name} latency over its budget, worst of five", max(misses) * 100, 10.0, "%")
    report.at_most(
        f"{name} latency, median error of prediction", statistics.median(errors) * 100, 10.0, "%"
    )


def _median_s(files, context):
    from deepseek_compress.measure.latency import measure_latency
    from deepseek_compress.samples.example import example_inputs

    found = measure_latency(files, device(1.0), example_inputs(None, context.inputs, 1), quiet)
    return {name: latency.quantiles_s[0.5] for name, latency in found.items()}


@contextmanager
def _predictor(model, context, whole_s, *, int8):
    """What a layer takes, by a table of layers that closes with the block."""
    import torch

    from deepseek_compress.measure.layer_models import float_layer, int8_layer
    from deepseek_compress.measure.layer_shapes import layer_shapes
    from deepseek_compress.measure.layer_table import LayerTable
    from deepseek_compress.measure.model_latency import LatencyModel
    from deepseek_compress.samples.example import example_inputs

    inputs = example_inputs(None, context.inputs, 1)
    shapes = layer_shapes(model, {n: torch.from_numpy(a) for n, a in inputs.items()})
    with LayerTable(device(1.0), int8_layer if int8 else float_layer) as table:
        yield LatencyModel.fitted(table, shapes, whole_s)


def _pruned(model, context, predicted, budget_s):
    """The pruned model, and the seconds that its plan predicts."""
    from deepseek_compress.steps.prune import Prune
    from deepseek_core import compression

    budget = compression.Budget(latency=device(budget_s))
    context = attrs.evolve(context, budget=budget, latency_s=predicted)
    step = Prune(score="l1", allocate="latency")
    plan = step.plan(model, context)
    return step.apply(model, plan, context).model, plan.choices["latency_s"]


def _write_float(model, path, *, context):
    from deepseek_compress.lower.export import export_onnx

    export_onnx(model, context.inputs, path)


def _write_int8(model, path, *, context):
    from deepseek_compress.steps.lower import LowerForOnnxRuntime
    from deepseek_core import Artifact

    floats = path.with_suffix(".float.onnx")
    _write_float(model, floats, context=context)
    step, made = LowerForOnnxRuntime(method="minmax"), Artifact.from_path(floats)
    path.write_bytes(step.apply(made, step.plan(made, context), context).model.read())
