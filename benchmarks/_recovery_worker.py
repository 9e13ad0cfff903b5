"""One worker of `recovery.py`: trains a small network and writes down when it took which step.

_recovery_worker.py FOLDER elastic|torchrun STEPS
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

LENGTH, BATCH, STEP_S = 960, 48, 0.01
PATIENCE_S: Final = 60.0


def model() -> tuple[Any, Any]:
    """A network and its optimizer."""
    import torch

    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.Tanh(), torch.nn.Linear(256, 1))
    return net, torch.optim.Adam(net.parameters(), lr=1e-3)


def take_step(
    net: Any, optimizer: Any, number: int, *, rank: int = 0, size: int = 1, group: Any = None
) -> float:
    """One step of all ranks; the loss, mean over the batch of all."""
    import torch
    import torch.distributed as dist

    from deepseek_parallel import Order
    from deepseek_parallel.lost import waited

    draw = torch.Generator().manual_seed(5)
    x = torch.randn(LENGTH, 64, generator=draw)
    y = x.sum(1, keepdim=True).sin()
    indices = torch.from_numpy(Order(LENGTH, 1).indices(number * BATCH, BATCH))
    mine = indices[BATCH * rank // size : BATCH * (rank + 1) // size]
    optimizer.zero_grad()
    loss = ((net(x[mine]) - y[mine]) ** 2).sum() / BATCH
    loss.backward()
    flat = torch.cat([loss.detach().view(1), *(p.grad.view(-1) for p in net.parameters())])
    if group is not None:
        waited(lambda: dist.all_reduce(flat, group=group), rank)
    begin = 1
    for param in net.parameters():
        param.grad.copy_(flat[begin : begin + param.numel()].view(param.shape))
        begin += param.numel()
    optimizer.step()
    return float(flat[0])


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


def main() -> None:
    """Command line."""
    import torch

    torch.set_num_threads(1)
    folder, kind, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    log = Log(folder)
    if kind == "elastic":
        elastic(log, steps)
    else:
        restarted(log, steps, folder)


if __name__ == "__main__":
    main()
