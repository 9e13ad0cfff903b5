"""One worker of `recovery.py`: trains a small network and writes down when it took which step.

_recovery_worker.py FOLDER elastic|torchrun|torchft STEPS
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

LENGTH, BATCH, STEP_S = 960, 48, 0.01
PATIENCE_S: Final = 60.0
LOST_AFTER_S: Final = 2.0
"""How long a worker may be silent."""


def model() -> tuple[Any, Any]:
    """A network and its optimizer."""
    import torch

    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.Tanh(), torch.nn.Linear(256, 1))
    return net, torch.optim.Adam(net.parameters(), lr=1e-3)


def gradient(
    net: Any, number: int, rank: int = 0, size: int = 1, add: Callable[[Any], object] = bool
) -> float:
    """Leave the gradient of a step in the parameters; its loss, mean over the batch of all.

    `add` sums a tensor over the ranks, in place.
    """
    import torch

    from deepseek_parallel import Order

    draw = torch.Generator().manual_seed(5)
    x = torch.randn(LENGTH, 64, generator=draw)
    y = x.sum(1, keepdim=True).sin()
    indices = torch.from_numpy(Order(LENGTH, 1).indices(number * BATCH, BATCH))
    mine = indices[BATCH * rank // size : BATCH * (rank + 1) // size]
    net.zero_grad()
    loss = ((net(x[mine]) - y[mine]) ** 2).sum() / BATCH
    loss.backward()
    flat = torch.cat([loss.detach().view(1), *(p.grad.view(-1) for p in net.parameters())])
    if size > 1:
        add(flat)
    begin = 1
    for param in net.parameters():
        param.grad.copy_(flat[begin : begin + param.numel()].view(param.shape))
        begin += param.numel()
    return float(flat[0])


def take_step(
    net: Any, optimizer: Any, number: int, *, rank: int = 0, size: int = 1, group: Any = None
) -> float:
    """One step of all ranks; the loss, mean over the batch of all."""
    import torch.distributed as dist

    from deepseek_parallel.lost import waited

    loss = gradient(
        net, number, rank, size, lambda flat: waited(lambda: dist.all_reduce(flat, group=group), 0)
    )
    optimizer.step()
    return loss


class Log:
    """Lines of JSON with the time of this machine, which all its processes share."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8")

    def write(self, kind: str, **facts: Any) -> None:
        """Add a line."""
        self._file.write(json.dumps({"kind": kind, "at_s": time.monotonic(), **facts}) + "\n")
        self._file.flush()


def elastic(log: Log, steps: int) -> None:
    """Go on with who is left."""
    from deepseek_parallel import ElasticRanks, RankLost, share

    net, optimizer = model()
    take_step(*model(), 0)  # loads what torch imports at a first step
    ranks = ElasticRanks.join()
    number, must_meet = 0, True
    while number < steps:
        try:
            if must_meet:
                given = {"net": net.state_dict(), "optimizer": optimizer.state_dict()}
                state, number = share(given, number, ranks)
                net.load_state_dict(state["net"])
                optimizer.load_state_dict(state["optimizer"])
                must_meet = False
                log.write("member", step=number, epoch=ranks.epoch, size=ranks.size)
            if not ranks.changed():
                loss = take_step(
                    net, optimizer, number, rank=ranks.rank, size=ranks.size, group=ranks.group
                )
                number += 1
                log.write("step", step=number, loss=loss, epoch=ranks.epoch)
                time.sleep(STEP_S)
                continue
        except RankLost:
            pass
        log.write("told", epoch=ranks.epoch)
        ranks.renew()
        must_meet = True
    ranks.leave()


def restarted(log: Log, steps: int, folder: Path) -> None:
    """As torchrun has it: begin again from a checkpoint, here one of each step."""
    import torch
    import torch.distributed as dist

    take_step(*model(), 0)
    # With init_process_group alone, torch 2.13 meets what the group before has left in the store.
    agent = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    store = dist.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], agent)
    dist.init_process_group(
        "gloo", store=store, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]),
        timeout=timedelta(seconds=PATIENCE_S),
    )  # fmt: skip
    net, optimizer = model()
    number, saved = 0, folder / "state.pt"
    if saved.exists():
        state = torch.load(saved)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        number = state["step"]
    while number < steps:
        loss = take_step(
            net, optimizer, number,
            rank=dist.get_rank(), size=dist.get_world_size(), group=dist.group.WORLD,
        )  # fmt: skip
        number += 1
        log.write("step", step=number, loss=loss, epoch=0)
        if dist.get_rank() == 0:
            state = {
                "net": net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": number,
            }
            torch.save(state, folder / "new.pt")
            (folder / "new.pt").rename(saved)
        time.sleep(STEP_S)
    dist.destroy_process_group()


def replicas(log: Log, steps: int) -> None:
    """As torchft has it: a group of replicas that each are one process, and a vote on each step."""
    import torch.distributed as dist
    from torchft import Manager, ProcessGroupGloo

    net, optimizer = model()
    take_step(*model(), 0)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    limit = timedelta(seconds=PATIENCE_S)
    group = ProcessGroupGloo(timeout=timedelta(seconds=LOST_AFTER_S))
    manager = Manager(
        pg=group, min_replica_size=1, use_async_quorum=False,
        state_dict=lambda: {"net": net.state_dict(), "optimizer": optimizer.state_dict()},
        load_state_dict=lambda state: (
            net.load_state_dict(state["net"]), optimizer.load_state_dict(state["optimizer"]),
        )[0],
        timeout=limit, quorum_timeout=limit, rank=0, world_size=1, hostname="127.0.0.1",
        store_addr="127.0.0.1", store_port=store.port, replica_id=str(os.getpid()),
    )  # fmt: skip
    try:
        while manager.current_step() < steps:
            manager.start_quorum()
            number = manager.current_step()
            loss = gradient(
                net, number, manager.participating_rank() or 0, manager.num_participants(),
                lambda flat: manager.allreduce(flat, reduce_op=dist.ReduceOp.SUM).wait(),
            )  # fmt: skip
            if manager.should_commit():
                optimizer.step()
                log.write("step", step=number + 1, loss=loss, epoch=manager.num_participants())
                time.sleep(STEP_S)
            else:
                log.write("told", epoch=manager.num_participants())
    finally:
        manager.shutdown(wait=False)


def main() -> None:
    """Command line."""
    import torch

    torch.set_num_threads(1)
    folder, kind, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    log = Log(folder)
    if kind == "elastic":
        elastic(log, steps)
    elif kind == "torchft":
        replicas(log, steps)
    else:
        restarted(log, steps, folder)


if __name__ == "__main__":
    main()
