"""A training in several processes and in one, for the rule that both come to the same."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import attrs

from deepseek_core.contracts.cluster import Cluster, Group, Link
from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.strategy import Loss, SplitModel, Strategy
from deepseek_core.contracts.training import Profile, TrainingPlan
from deepseek_core.discovery.distributions import import_path
from deepseek_core.discovery.registry import load_locator
from deepseek_core.discovery.telemetry import without_telemetry

_LIMIT_S: Final = 120.0
_CODE: Final = """
import sys
from deepseek_core.testing.strategy_training import told_losses
told_losses(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


@attrs.frozen(kw_only=True)
class TrainingCase:
    """A small training, made in each process; a locator `package.module:name` makes it.

    `start` joins the processes, which have RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT as
    torchrun sets them. `batch(step, begin, end)` gives these samples of a step; `update` takes one
    step of an optimizer over named parameters and clears their gradients. `plain` gives the losses
    of so many steps as one process has them without a strategy.
    """

    profile: Profile
    model: Any
    start: Callable[[], None]
    batch: Callable[[int, int, int], Any]
    loss: Loss
    update: Callable[[Iterable[tuple[str, Any]]], None]
    plain: Callable[[int], Sequence[float]]
    steps: int = 5


@attrs.frozen(kw_only=True)
class _Work:
    """What each rank does."""

    strategy: Strategy
    plan: TrainingPlan
    make: Callable[[], TrainingCase]


def cluster_of(ranks: int) -> Cluster:
    """Equal ranks on one machine."""
    link = Link(bytes_per_s=1e9, latency_s=3e-5)
    group = Group(
        name="cores",
        nodes=1,
        gpus_per_node=ranks,
        flops_per_s=dict.fromkeys(("fp32", "bf16", "fp16"), 5e10),
        memory_nbytes=8e9,
        memory_bytes_per_s=1e10,
        inside=link,
        between=link,
    )
    return Cluster(groups=(group,))


def losses_of(factory: str, case: str, ranks: int) -> dict[str, Any]:
    """`plain` losses, and those of each of so many `ranks`; `refused` if there is no plan.

    A fresh interpreter imports both once, and its ranks are forks of it.
    """
    run = subprocess.run(
        [sys.executable, "-P", "-c", _CODE, factory, case, str(ranks)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**without_telemetry(os.environ), "PYTHONPATH": os.pathsep.join(import_path())},
        timeout=_LIMIT_S,
        check=False,
    )
    assert run.returncode == 0, f"{ranks} ranks can't train: {run.stderr[-2000:]}"
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


def told_losses(factory: str, case: str, ranks: int) -> None:
    """Print what `losses_of` reads."""
    strategy: Strategy = load_locator(factory, plugin="", dist="")()
    make: Callable[[], TrainingCase] = load_locator(case, plugin="", dist="")
    made = make()
    try:
        plan = strategy.plan(made.profile, cluster_of(ranks))
    except InputError as refusal:
        print(json.dumps({"refused": str(refusal)}))  # noqa: T201 - the parent reads it
        return
    work = _Work(strategy=strategy, plan=plan, make=make)
    context = multiprocessing.get_context("fork")
    # Held to the end, though the ranks are told no more than its number: nobody else gets it, and
    # a rank may listen there, as torch and Python do by SO_REUSEADDR.
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    port = held.getsockname()[1]
    pipes, processes = [], []
    for rank in range(ranks):
        receiving, sending = context.Pipe(duplex=False)
        given = sending, rank, port, work
        processes.append(context.Process(target=_rank, args=given, daemon=True))
        processes[-1].start()
        sending.close()
        pipes.append(receiving)
    found = [pipe.recv() for pipe in pipes]
    held.close()
    print(json.dumps({"plain": list(made.plain(made.steps)), "ranks": found}))  # noqa: T201


def _rank(sending: Any, rank: int, port: int, work: _Work) -> None:
    strategy, plan = work.strategy, work.plan
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(plan.mesh.num_ranks),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    case = work.make()
    case.start()
    split = strategy.apply(plan, case.model)
    sending.send([_step(step, rank, split, plan, case) for step in range(case.steps)])
    os._exit(0)  # a process group of torch may wait for ranks that have ended


def _step(step: int, rank: int, split: SplitModel, plan: TrainingPlan, case: TrainingCase) -> float:
    """The mean loss of a step over all items, before its update."""
    replica = plan.mesh.coordinates(rank).get("dp", 0)
    first = sum(plan.shares[:replica])
    microbatches = [
        case.batch(step, number * plan.micro, (number + 1) * plan.micro)
        for number in range(first, first + plan.shares[replica])
    ]
    sums = split.reduce(split.backward(microbatches, case.loss))
    case.update(split.named_parameters())
    return sums.loss / sums.items
