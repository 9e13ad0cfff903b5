"""Structural pruning: exactness on idioms and architectures beside Torch-Pruning, and the solver.

    python benchmarks/pruning.py [--json FILE] [--architectures FOLDER] [--only-idioms]

1. Small modules with one idiom each: pruned by about half of their channels, and compared with
   the original whose same channels are zeroed. Torch-Pruning prunes by its group L1 at 0.5; what
   it made is compared in the same way, by the values that are left.
2. ResNet-50 to parameters / 3.7, all counts multiples of 8: ratio, and seconds of the solver.
3. Architectures of packages of the public index (`make architectures`), as in 1.

"exact" is a difference of at most 1e-5 of the outputs' magnitude; "wrong" ran and differs;
"broke" left a model that fails, or one that was changed before it was refused; "refused" named an
operation and left the model as it was; "raised" is any other exception, the model as it was;
"nothing" removed nothing.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _report import Report, pin, print_head, versions

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "deepseek_compress" / "prune"))
sys.path.insert(0, str(ROOT / "examples" / "compression"))
BAR = 1e-5


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    found = os.environ.get("DEEPSEEK_ARCHITECTURES", str(ROOT / ".venv" / "architectures"))
    parser.add_argument(
        "--architectures", type=Path, default=Path(found), help="where the packages are"
    )
    parser.add_argument(
        "--only-idioms", action="store_true", help="leave architectures and ResNet-50 out"
    )
    args = parser.parse_args()
    pin()
    warnings.simplefilter("ignore")
    sys.path.append(str(args.architectures))
    import torch

    torch.set_num_threads(1)
    used = versions(("torch", "torch-pruning", "deepseek-compress"))
    print_head("Structural pruning beside Torch-Pruning", used)
    report = Report(versions=used)
    _idioms(report)
    if not args.only_idioms:
        _resnet50(report)
        _architectures(report)
    return report.finish(args.json)


def _idioms(report: Report) -> None:
    from prune_idioms import IDIOMS

    exact = [each for each in IDIOMS if not each.inexact]
    table = _table("idioms", [(each.name, each.make, each.example) for each in exact])
    report.at_least("idioms pruned exactly", table["ours"]["exact"], 24, "")
    report.at_most("idioms pruned wrongly or broken", _bad(table["ours"]), 0, "")


def _architectures(report: Report) -> None:
    from prune_architectures import ARCHITECTURES

    cases, missing = [], Counter[str]()
    for each in ARCHITECTURES:
        try:
            each.make()
            cases.append((each.name, each.make, each.example))
        except ImportError as error:
            missing[f"{each.package}: {error}"] += 1
    for name, count in missing.items():
        print(f"left out, {count}: {name}")
    table = _table("architectures", cases)
    report.at_least("architectures pruned exactly", table["ours"]["exact"], 8, "")
    report.at_most("architectures pruned wrongly or broken", _bad(table["ours"]), 0, "")


def _bad(counts: Counter[str]) -> int:
    return counts["wrong"] + counts["broke"]


def _table(
    title: str, cases: list[tuple[str, Callable[[], Any], Callable[[], Any]]]
) -> dict[str, Counter[str]]:
    """Run both on all cases and print what became of each."""
    ways = {"ours": _ours, "torch-pruning": _theirs}
    counts = {name: Counter[str]() for name in ways}
    print(f"\n{title:28}" + "".join(f"{name:>36}" for name in ways))
    for name, make, example in cases:
        cells = []
        for way, run in ways.items():
            verdict, detail = _judged(run, make, example)
            counts[way][verdict] += 1
            cells.append(f"{verdict + ' ' + detail:>36}")
        print(f"  {name:26}" + "".join(cells), flush=True)
    for way, found in counts.items():
        print(
            f"  {way}: " + ", ".join(f"{count} {verdict}" for verdict, count in found.most_common())
        )
    return counts


def _judged(run: Callable[[Any, Any], tuple[str, str]], make: Any, example: Any) -> tuple[str, str]:
    import torch

    from deepseek_compress.prune.verify import randomize_norms

    torch.manual_seed(0)
    model, inputs = make().eval(), example()
    randomize_norms(model)
    return run(model, inputs if isinstance(inputs, tuple) else (inputs,))


def _ours(model: Any, inputs: tuple[Any, ...]) -> tuple[str, str]:
    """Half of every group, by our engine."""
    from deepseek_compress.errors import CannotPrune
    from deepseek_compress.prune.pruner import Pruner

    before = copy.deepcopy(model.state_dict())
    try:
        pruner = Pruner(model, inputs)
        groups = [group for group in pruner.structure.groups if not group.reason]
        halves = {
            g.name: [g.units.index(u) for b in g.blocks for u in b.units[: len(b.units) // 2]]
            for g in groups
        }
        pruned = pruner.apply(pruner.plan(halves))
    except CannotPrune as error:
        return ("refused" if _same(before, model) else "broke"), error.operation[:20]
    if not _same(before, model):
        return "broke", "the caller's model"
    if pruned.plan.ratios["params"] <= 1:
        return "nothing", ""
    detail = f"{pruned.equivalence.relative:.0e} at {pruned.plan.ratios['params']:.2f}x"
    if pruned.equivalence.inexact:
        return "inexact", detail
    return ("exact" if pruned.equivalence.relative <= BAR else "wrong"), detail


def _same(before: dict[str, Any], model: Any) -> bool:
    after = model.state_dict()
    return before.keys() == after.keys() and all(
        (before[name] == after[name]).all() for name in before
    )


def _theirs(model: Any, inputs: tuple[Any, ...]) -> tuple[str, str]:
    """About half of every group, by Torch-Pruning's own pruner; outputs are protected."""
    import torch
    import torch_pruning as peer

    model, inputs = _unique(model), tuple(_wide(each) for each in inputs)
    size = sum(each.numel() for each in model.parameters())
    zeroed, shapes = copy.deepcopy(model), {name: t.shape for name, t in model.state_dict().items()}
    try:
        _peer(peer, model, inputs).step()
        with torch.no_grad():
            theirs = model(*inputs)
    except Exception as error:  # noqa: BLE001 - whatever a user would see
        changed = {name: t.shape for name, t in model.state_dict().items()} != shapes
        return ("broke" if changed else "raised"), f"{type(error).__name__}"
    _zero_what_is_gone(model, zeroed)
    with torch.no_grad():
        ours = zeroed(*inputs)
    ratio = size / sum(each.numel() for each in model.parameters())
    if ratio <= 1:
        return "nothing", ""
    difference = _difference(ours, theirs)
    return ("exact" if difference <= BAR else "wrong"), f"{difference:.0e} at {ratio:.2f}x"


def _wide(value: Any) -> Any:
    return value.double() if value.is_floating_point() else value


def _unique(model: Any) -> Any:
    """The model in 64 bits, with a little noise: each value is then found again by itself."""
    import torch

    model = model.double()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 1e-6)
    return model


def _peer(peer: Any, model: Any, inputs: tuple[Any, ...]) -> Any:
    from torch import nn

    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
    heads = {m: m.num_heads for m in model.modules() if isinstance(m, nn.MultiheadAttention)}
    return peer.pruner.MetaPruner(
        model,
        inputs if len(inputs) > 1 else inputs[0],
        importance=peer.importance.GroupMagnitudeImportance(p=1),
        pruning_ratio=0.5,
        ignored_layers=layers[-1:],
        in_channel_groups={},
        out_channel_groups={},
        num_heads=heads,
    )


def _zero_what_is_gone(pruned: Any, zeroed: Any) -> None:
    """Zero in the whole model what the pruned one lacks, found by the values that are left.

    Every value is one entry's (`_unique`).
    """
    import torch

    left = {**dict(pruned.named_parameters()), **dict(pruned.named_buffers())}
    with torch.no_grad():
        for name, whole in (*zeroed.named_parameters(), *zeroed.named_buffers()):
            part = left.get(name)
            if part is None or part.shape == whole.shape or whole.dim() != part.dim():
                continue
            values = whole.flatten()
            assert len(values.unique()) == len(values), name
            order = values.argsort()
            found = order[torch.searchsorted(values[order], part.flatten())].reshape(part.shape)
            for axis, extent in enumerate(whole.shape):
                line = found.movedim(axis, 0).reshape(part.shape[axis], -1)[:, 0]
                kept = line // math.prod(whole.shape[axis + 1 :]) % extent
                gone = torch.ones(extent, dtype=torch.bool)
                gone[kept] = False
                whole.index_fill_(axis, torch.nonzero(gone).flatten(), 0)


def _difference(a: Any, b: Any) -> float:
    from deepseek_compress.prune.run import tensors_in

    pairs = list(zip(tensors_in(a), tensors_in(b), strict=True))
    scale = max(1.0, *(float(x.abs().max()) for x, _ in pairs))
    return (
        max(float((x - y).abs().max()) if x.shape == y.shape else float("inf") for x, y in pairs)
        / scale
    )


def _resnet50(report: Report) -> None:
    """One trace, then plans from it."""
    import torch
    from resnet import resnet50

    from deepseek_compress.prune.budget import PruneBudget
    from deepseek_compress.prune.plan_budget import plan_budget
    from deepseek_compress.prune.pruner import Pruner
    from deepseek_compress.prune.score_units import score_units

    start_s = time.process_time()
    pruner = Pruner(resnet50(), torch.randn(1, 3, 224, 224))
    print(f"\nResNet-50: one trace with its trial {time.process_time() - start_s:.1f} CPU s")
    scores = score_units(pruner, "l1")
    for allocate in ("uniform", "global"):
        start_s = time.process_time()
        plan = plan_budget(pruner, scores, PruneBudget(params=3.7), allocate=allocate)
        seconds = time.process_time() - start_s
        pruned = pruner.apply(plan)
        convs = [m for m in pruned.model.modules() if isinstance(m, torch.nn.Conv2d)]
        ratio = 25_557_032 / sum(each.numel() for each in pruned.model.parameters())
        print(f"  {allocate}: parameters / {ratio:.3f}, multiply-adds / {plan.ratios['macs']:.3f}")
        report.at_least(f"ResNet-50 to parameters / 3.7, {allocate}: ratio", ratio, 3.70)
        report.at_most(f"ResNet-50 to parameters / 3.7, {allocate}: ratio", ratio, 3.78)
        report.at_most(f"{allocate}: the solver after one trace", seconds, 3.0, "s")
        report.at_most(
            f"{allocate}: channel counts that are no multiple of 8",
            sum(m.out_channels % 8 > 0 for m in convs),
            0,
            "",
        )
        report.at_most(
            f"{allocate}: difference to the zeroed model, of 1e-5",
            pruned.equivalence.relative / BAR,
            1.0,
        )


if __name__ == "__main__":
    raise SystemExit(main())
