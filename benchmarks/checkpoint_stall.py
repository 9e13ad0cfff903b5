"""How long a checkpoint keeps a training from its next step, ours beside torch's own.

Two ranks with equal replicas of a multi-layer perceptron and AdamW: 289 MiB of state. Each round
saves it by `torch.distributed.checkpoint.save` (DCP), by its `async_save` in a thread and in a
process, and by `Checkpoints.save`, all to a folder of one disk, all synced to it. Stall is the time
until the call returns, and what the next step of the optimizer waits for a copy; what steps lose
beside a save that still runs is counted, too.

    python benchmarks/checkpoint_stall.py [--rounds N] [--to FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from _ranks import run_ranks
from _report import Report, pin, print_head, versions

RANKS: Final = 2
WIDTH: Final = 2512
LAYERS: Final = 4
BATCH: Final = 16
STEPS: Final = 12  # of which the median is the undisturbed one
LIMIT_S: Final = 300.0


class Training:
    """A model of 25.2 M parameters, and its steps."""

    def __init__(self) -> None:
        import torch

        torch.manual_seed(0)
        self.net = torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)))
        self.optimizer = torch.optim.AdamW(self.net.parameters())
        self.x = torch.randn(BATCH, WIDTH)

    def step_s(self) -> float:
        """Seconds of one step, which all ranks end together."""
        import torch
        import torch.distributed as dist

        start_s = time.perf_counter()
        self.optimizer.zero_grad()
        loss = self.net(self.x).square().mean()
        loss.backward()
        dist.all_reduce(torch.ones(1))
        self.optimizer.step()
        return time.perf_counter() - start_s

    def noted(self, times_s: list[float]) -> Any:
        """A hook that notes when the optimizer begins its step; in the order of their making."""
        return self.optimizer.register_step_pre_hook(lambda *_: times_s.append(time.perf_counter()))

    def states(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of the model and the optimizer."""
        return self.net.state_dict(), self.optimizer.state_dict()


def saved(
    barrier: Any, training: Training, begin: Callable[[], Callable[[], bool] | None]
) -> tuple[float, float, float]:
    """Seconds of the stall, those that steps lost beside the save, and until it was saved.

    `begin` gives what tells whether the save is done, or None where it is.
    """
    usual_s = statistics.median(training.step_s() for _ in range(STEPS))
    times_s: list[float] = []  # of hooks of the next step, around what the save has put there
    hooks = [training.noted(times_s)]
    barrier.wait()
    start_s = time.perf_counter()
    is_done = begin()
    stall_s, lost_s = time.perf_counter() - start_s, 0.0
    hooks.append(training.noted(times_s))
    while is_done is not None and not all_done(is_done()):
        lost_s += training.step_s() - usual_s
        if time.perf_counter() - start_s > LIMIT_S:
            raise TimeoutError("the save does not end")
    total_s = time.perf_counter() - start_s
    for hook in hooks:
        hook.remove()
    waited_s = times_s[1] - times_s[0] if times_s else 0.0
    barrier.wait()
    return stall_s + waited_s, lost_s - waited_s, total_s


def all_done(mine: bool) -> bool:
    """Whether the save is done on all ranks, so that they take as many steps."""
    import torch
    import torch.distributed as dist

    told = torch.tensor([float(mine)])
    dist.all_reduce(told, op=dist.ReduceOp.MIN)
    return bool(told.item())


def work(rank: int, barrier: Any, folder: str, rounds: int) -> dict[str, list[tuple[float, ...]]]:
    """Rounds of each contestant; seconds by name."""
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType

    from deepseek_parallel import Checkpoints

    warnings.simplefilter("ignore")
    training = Training()
    training.step_s()
    group = dist.new_group(backend="gloo")
    root = Path(folder)
    checkpoints = Checkpoints(str(root / "ours"), keep=1)
    number = 0

    def parts() -> dict[str, Any]:
        return dict(zip(("model", "optimizer"), training.states(), strict=True))

    def fresh(name: str) -> str:
        nonlocal number
        number += 1
        return str(root / f"{name}-{number}")

    def in_one() -> None:
        dcp.save(parts(), checkpoint_id=fresh("dcp"))

    def torch_async(kind: Any) -> Callable[[], bool]:
        found = dcp.async_save(
            parts(), checkpoint_id=fresh("async"), process_group=group,
            async_checkpointer_type=kind,
        )  # fmt: skip
        future = getattr(found, "upload_completion", found)
        return lambda: bool(future.done())

    def ours() -> Callable[[], bool]:
        saving = checkpoints.save(number, *training.states(), until_step_of=training.optimizer)
        return lambda: saving.is_done and saving.wait() is not None

    contestants: dict[str, Callable[[], Any]] = {
        "dcp.save": in_one,
        "async_save, thread": lambda: torch_async(AsyncCheckpointerType.THREAD),
        "async_save, process": lambda: torch_async(AsyncCheckpointerType.PROCESS),
        "Checkpoints.save": ours,
    }
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in contestants}
    for round_ in range(rounds + 1):  # the first one is to warm up: memory, processes
        for name, begin in contestants.items():
            row = saved(barrier, training, begin)
            if round_:
                found[name].append(row)
            if rank == 0:
                for old in root.glob("*-*"):
                    shutil.rmtree(old)
            barrier.wait()
    checkpoints.close()
    return found


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="on the disk to be used")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    pin()
    used = versions(["deepseek-core", "deepseek-parallel", "torch"])
    print_head("Stall of a training by a checkpoint: 289 MiB on two ranks", used)
    with tempfile.TemporaryDirectory(dir=args.to) as folder:
        found = run_ranks(work, RANKS, folder, args.rounds)[0]
    print(f"{'seconds (median)':22}{'stall':>10}{'lost after':>12}{'until saved':>13}")
    medians = {}
    for name, rows in found.items():
        medians[name] = [statistics.median(column) for column in zip(*rows, strict=True)]
        stall_s, lost_s, total_s = medians[name]
        print(f"{name:22}{stall_s:10.3f}{lost_s:12.3f}{total_s:13.3f}")
    report = Report(versions=used)
    whole_s = medians["dcp.save"][0]
    ours = medians["Checkpoints.save"]
    threads = medians["async_save, thread"]
    report.at_most("stall, of that of dcp.save", 100 * ours[0] / whole_s, 6.0, "%")
    report.at_most("stall, of that of async_save (thread)", ours[0] / threads[0], 1.0)
    report.at_most(
        "stall and lost steps, of those of async_save (thread)",
        (ours[0] + ours[1]) / (threads[0] + threads[1]), 1.0,
    )  # fmt: skip
    report.at_most("stall and lost steps, of dcp.save", (ours[0] + ours[1]) / whole_s, 1.0)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
