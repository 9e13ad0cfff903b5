"""The server and its workers, by plain send and receive on gloo; no `torch.distributed.rpc`.

A message of a worker is one float32 vector [2 + weights]: what it is, the version of the weights
that it was computed with, and the gradient. An answer is [2 + weights]: version, number of the next
batch, weights. A worker joins with its first message and leaves with its last one. The server gives
out the batches, and that of a lost worker again, so that each counts once whoever comes and goes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor

from deepseek_core import errors
from deepseek_parallel.errors import RankLost
from deepseek_parallel.server.staleness import Clocks

_JOIN, _GRADIENT, _LAST, _LEAVE = 0.0, 1.0, 2.0, 3.0  # _LAST: a gradient, and it leaves
_NO_MORE: Final = -1
_LOOK_S: Final = 0.05
_MOST: Final = 2**24  # whole numbers of float32 are exact up to it


class ParameterServer:
    """Holds the weights at rank 0 and steps an optimizer by the gradients of workers.

    `steps` gradients are taken in all. A worker more than `bound` steps ahead of the slowest one
    waits; one that gives no gradient for `lost_after_s` is lost, and waited for no more. `seen` are
    the staleness of each gradient: by how many versions its weights were old.

    Raises:
        ConfigError: numbers that can't be.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        steps: int,
        bound: int = 4,
        lost_after_s: float = 60.0,
    ) -> None:
        if not 1 <= steps < _MOST or not 0 <= bound < _MOST:
            raise errors.ConfigError(
                f"steps must be 1 or more and bound 0 or more, got {steps} and {bound}"
            )
        self._params, self._optimizer, self._steps = list(params), optimizer, steps
        self._clocks, self._lost_after_s = Clocks(bound), lost_after_s
        self._answered_s: dict[int, float] = {}  # of who computes
        self._given = 0  # batches
        self._open: dict[int, int] = {}  # batch of each worker that computes
        self._returned: list[int] = []  # batches of workers that were lost
        self._waiting: list[int] = []
        self._ended: set[int] = set()
        self.version = 0
        self.seen: list[int] = []

    def serve(self, workers: int, group: dist.ProcessGroup | None = None) -> None:
        """Answer until all of `workers` have left.

        Raises:
            RankLost: nobody comes within `lost_after_s`, or the group's timeout.
        """
        inbox, heard_s = _Inbox(2 + sum(p.numel() for p in self._params), group), time.monotonic()
        while len(self._ended) < workers:
            found = inbox.next()
            if found is None:
                self._look(workers, heard_s)
            else:
                heard_s = time.monotonic()
                self._take(*found)
            self._answer(group)

    def _look(self, workers: int, heard_s: float) -> None:
        """Drop who has not answered for too long; that nobody has ever come is an error."""
        now_s = time.monotonic()
        for worker, at_s in list(self._answered_s.items()):
            if now_s - at_s > self._lost_after_s:
                self._drop(worker)
        if not self._answered_s and not self._waiting and now_s - heard_s > self._lost_after_s:
            raise _lost(f"{workers - len(self._ended)} workers have not come")

    def _drop(self, worker: int) -> None:
        self._clocks.leave(worker)
        self._answered_s.pop(worker, None)
        self._returned += [self._open.pop(worker)] if worker in self._open else []
        self._ended.add(worker)

    def _take(self, worker: int, message: Tensor) -> None:
        kind, version = float(message[0]), int(message[1])
        self._answered_s.pop(worker, None)
        if kind == _LEAVE:
            self._drop(worker)
            return
        if kind == _JOIN or worker in self._ended:  # it was slow, not lost
            self._ended.discard(worker)
            self._clocks.join(worker)
        elif self.version < self._steps:
            self.seen.append(self.version - version)
            self._clocks.step(worker)
            self._open.pop(worker, None)
            _write(self._params, message[2:], is_gradient=True)
            self._optimizer.step()
            self.version += 1
        if kind == _LAST:
            self._drop(worker)
        else:
            self._waiting.append(worker)

    def _answer(self, group: dist.ProcessGroup | None) -> None:
        """Send weights to all who may go on."""
        free = [w for w in self._waiting if self._clocks.may_go_on(w) or self._is_over()]
        for worker in free:
            self._waiting.remove(worker)
            number = _NO_MORE
            if not self._is_over():
                number = self._returned.pop() if self._returned else self._given
                self._given += number == self._given
                self._open[worker] = number
            flat = torch.cat([p.detach().reshape(-1).float() for p in self._params])
            answer = torch.cat([torch.tensor([float(self.version), float(number)]), flat])
            try:
                dist.send(answer, worker, group=group)
            except RuntimeError:  # it is gone
                self._drop(worker)
            else:
                self._answered_s[worker] = time.monotonic()

    def _is_over(self) -> bool:
        return self.version >= self._steps


class _Inbox:
    """Messages of all workers, taken in by a thread: gloo can't tell whether one has come."""

    def __init__(self, length: int, group: dist.ProcessGroup | None) -> None:
        self._length, self._group = length, group
        self._found: queue.Queue[tuple[int, Tensor] | RuntimeError] = queue.Queue()
        self._is_asked = False

    def next(self) -> tuple[int, Tensor] | None:
        """A worker and its message; None when there was none for a moment."""
        if not self._is_asked:
            self._is_asked = True
            threading.Thread(target=self._receive, daemon=True).start()
        try:
            found = self._found.get(timeout=_LOOK_S)
        except queue.Empty:
            return None
        self._is_asked = False
        if isinstance(found, RuntimeError):
            raise _lost(str(found)) from found
        return found

    def _receive(self) -> None:
        message = torch.empty(self._length)
        try:
            self._found.put((dist.recv(message, group=self._group), message))
        except RuntimeError as error:
            self._found.put(error)


def work_at_server(
    params: Iterable[Tensor],
    gradient: Callable[[int], object],
    *,
    steps: int | None = None,
    group: dist.ProcessGroup | None = None,
) -> int:
    """Be a worker: `gradient(number)` does the backward pass of batch `number`; the steps taken.

    Leaves when the server needs no more, or after `steps`.

    Raises:
        RankLost: the server does not answer.
    """
    own, taken = list(params), 0
    num = sum(p.numel() for p in own)
    message, answer = torch.zeros(2 + num), torch.empty(2 + num)
    message[0] = _JOIN
    while True:
        _exchange(lambda: dist.send(message, 0, group=group))
        _exchange(lambda: dist.recv(answer, 0, group=group))
        number = int(answer[1])
        _write(own, answer[2:], is_gradient=False)
        if number < 0:
            message[0] = _LEAVE
            _exchange(lambda: dist.send(message, 0, group=group))
            return taken
        for param in own:
            param.grad = None
        gradient(number)
        taken += 1
        message[0], message[1] = _LAST if taken == steps else _GRADIENT, answer[0]
        message[2:] = torch.cat([_gradient(p).reshape(-1).float() for p in own])
        if taken == steps:
            _exchange(lambda: dist.send(message, 0, group=group))
            return taken


def _lost(why: str) -> RankLost:
    return RankLost(
        f"no worker sends anything: {why.splitlines()[0]}", remedy="see the logs of the workers"
    )


def _gradient(param: Tensor) -> Tensor:
    return torch.zeros_like(param) if param.grad is None else param.grad


def _write(params: list[Tensor], flat: Tensor, *, is_gradient: bool) -> None:
    begin = 0
    for param in params:
        part = flat[begin : begin + param.numel()].view(param.shape).to(param)
        begin += param.numel()
        if is_gradient:
            param.grad = part.clone()
        else:
            with torch.no_grad():
                param.copy_(part)


def _exchange(deed: Callable[[], Any]) -> None:
    try:
        deed()
    except RuntimeError as error:
        raise RankLost(
            f"the parameter server does not answer: {str(error).splitlines()[0]}",
            remedy="see the log of rank 0",
        ) from error
