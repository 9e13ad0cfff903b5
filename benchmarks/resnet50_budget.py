"""ResNet-50 to a budget: parameters / 3.7 by pruning, int8 for ONNX Runtime, speed and size.

    python benchmarks/resnet50_budget.py [--json FILE] [--latency] [--rounds 20]

Weights are drawn at random: what is claimed here is structure and speed, not accuracy. Speed is a
ratio to the float32 original in ONNX Runtime, one thread, the files in turn, processor time.
--latency plans for five latency budgets on the CPU device, once where the float file ships and once
where the int8 file does, and measures what came out.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "compression"))

from _latency_budgets import five_budgets
from _report import Report, interleave, pin, print_head, print_timings, versions

PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "deepseek-compress")
SHAPE = (1, 3, 224, 224)


def main() -> int:
    """Prune, export, quantize, measure."""
    parser = argparse.ArgumentParser(description="ResNet-50 to a budget.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--latency", action="store_true", help="five latency budgets, too")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    pin()
    used = versions(PACKAGES)
    print_head("compression of ResNet-50", used)
    report = Report(versions=used)
    with tempfile.TemporaryDirectory(prefix="compression-") as folder:
        structure_and_speed(report, Path(folder), arguments.rounds)
        if arguments.latency:
            latency_budgets(report, Path(folder))
    return report.finish(arguments.json)


def network():
    """ResNet-50, and normalizations that are not those of a model just born."""
    import torch
    from resnet import resnet50

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = resnet50().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return model


def context_of(folder, budget):
    """What a step is told: a budget, and pictures of noise to calibrate with."""
    import numpy as np

    from deepseek_compress.samples.accept import as_samples
    from deepseek_compress.samples.names import Expected
    from deepseek_core import compression

    pictures = np.random.default_rng(0).standard_normal((32, *SHAPE[1:]), dtype=np.float32)
    samples = as_samples(pictures, Expected(inputs={"x": SHAPE}))
    return compression.StepContext(
        workspace=folder, budget=budget, inputs={"x": SHAPE}, calibration=samples
    )


def structure_and_speed(report, folder, rounds):
    """Parameters / 3.7 in multiples of 8, then int8: sizes, speed, coverage."""
    import numpy as np
    import torch

    from deepseek_compress.lower.export import export_onnx
    from deepseek_compress.prune.budget import PruneBudget
    from deepseek_compress.prune.plan_budget import plan_budget
    from deepseek_compress.prune.pruner import Pruner
    from deepseek_compress.prune.score_units import score_units
    from deepseek_compress.steps.lower import LowerForOnnxRuntime
    from deepseek_core import Artifact, compression

    model = network()
    start_s = time.process_time()
    pruner = Pruner(model, torch.randn(1, *SHAPE[1:]))
    traced_s = time.process_time() - start_s
    scores = score_units(pruner, "l1")
    start_s = time.process_time()
    plan = plan_budget(pruner, scores, PruneBudget(params=3.7, round_to=8))
    solver_s = time.process_time() - start_s
    pruned = pruner.apply(plan)
    before = sum(p.numel() for p in model.parameters())
    after = sum(p.numel() for p in pruned.model.parameters())
    odd = [
        name
        for name, module in pruned.model.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.out_channels % 8
    ]
    print(
        f"\ntraced in {traced_s:.1f} s, solved in {solver_s:.2f} s of processor time; "
        f"{before:,} -> {after:,} parameters, {plan.ratios['macs']:.2f}x fewer multiply-adds, "
        f"masked difference {pruned.equivalence.difference:.1e}"
    )
    report.at_least("ResNet-50, parameters / 3.7: not less", before / after, 3.70)
    report.at_most("ResNet-50, parameters / 3.7: not more", before / after, 3.78)
    report.at_most("layers whose channels are no multiple of 8", float(len(odd)), 0.0, "")
    report.at_most("solver, seconds after the trace", solver_s, 3.0, "s")
    report.at_most(
        "masked equivalence, relative to the largest output",
        pruned.equivalence.difference * 1e5, 1.0, "1e-5",
    )  # fmt: skip

    paths = {name: folder / f"{name}.onnx" for name in ("original", "pruned", "int8")}
    export_onnx(model, {"x": SHAPE}, paths["original"])
    export_onnx(pruned.model, {"x": SHAPE}, paths["pruned"])
    step = LowerForOnnxRuntime(method="minmax")
    context = context_of(folder, compression.Budget())
    floats = Artifact.from_path(paths["pruned"])
    made = step.apply(floats, step.plan(floats, context), context)
    paths["int8"].write_bytes(made.model.read())
    x = np.random.default_rng(1).standard_normal(SHAPE, dtype=np.float32)
    calls = {name: partial(_session(path).run, None, {"x": x}) for name, path in paths.items()}
    times = interleave(calls, rounds=rounds, clock=time.process_time)
    print_timings("one picture of 224 px, one thread", times, "original")
    fastest = times["original"].median_s
    report.at_least("pruned over the original", fastest / times["pruned"].median_s, 3.4)
    report.at_least("pruned and int8 over the original", fastest / times["int8"].median_s, 7.3)
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    report.at_least("file of the original over int8", sizes["original"] / sizes["int8"], 14.0)
    coverage = made.figures["int8_coverage_convolutions"] * 100
    report.at_least("int8 coverage of convolutions", coverage, 100.0, "%")


def _session(path):
    from deepseek_compress.onnx_graph.ort import ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def latency_budgets(report, folder):
    """Five budgets for the float file, and five for the int8 file."""
    from deepseek_core import compression

    model, context = network(), context_of(folder, compression.Budget())
    for int8 in (False, True):
        five_budgets(report, folder, model, context, int8=int8)


if __name__ == "__main__":
    sys.exit(main())
