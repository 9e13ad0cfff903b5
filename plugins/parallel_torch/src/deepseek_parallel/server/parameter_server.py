"""A server that holds the weights, gives out batches, and steps by one worker's gradient at a time.

One thread over TCP: workers are other processes, here or elsewhere, that come and go at any time.
The batch of a lost one is given to another, so that each counts once. A gradient that is not finite
and a worker whose code fails do not touch the weights; the second failure of one batch ends it.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import Tensor

from deepseek_core import DeepSeekError, errors
from deepseek_parallel.elastic import wire
from deepseek_parallel.elastic.code_version import plugin_version
from deepseek_parallel.errors import NotFiniteGradient, RankFailed, RankLost
from deepseek_parallel.server import frames, vector
from deepseek_parallel.server.ahead import Ahead
from deepseek_parallel.server.connection import Connection
from deepseek_parallel.server.frames import BadFrame, Head
from deepseek_parallel.server.staleness import Batches

_TICK_S: Final = 0.25
_BEAT_S: Final = 1.0
"""How often a worker that waits hears of the server."""
_END_S: Final = 5.0
"""How long workers have to hear that it is over."""
_LATE_S: Final = 0.5
"""The same, of those that are just coming."""
_MOST: Final = 2**31


class ParameterServer:
    """Holds the weights and steps an optimizer by the gradients of workers.

    A step is that of the mean of `per_step` gradients, whoever gives them: with twice as many as
    there are workers, losses are those of synchronous steps. `steps` are taken in all, `version` of
    them before this, in a training that goes on. No gradient is older than `bound` steps: who could
    make one so waits, and with 0 it is synchronous. For SGD with momentum, a worker gets weights as
    they will be when its gradient comes, unless `ahead` is False; see server/ahead.py. A worker
    that gives none for `lost_after_s` is waited for no more. `after_step` is called with the
    version after each step: for a schedule, an evaluation, a checkpoint. `address` is where it
    listens, port 0 any that is free.

    Raises:
        ConfigError: numbers that can't be, an address that can't be had, parameters that are not
            the optimizer's.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        steps: int,
        per_step: int = 1,
        bound: int = 3,
        ahead: bool = True,
        lost_after_s: float = 60.0,
        version: int = 0,
        after_step: Callable[[int], object] | None = None,
        address: str = "127.0.0.1:0",
    ) -> None:
        _check(steps, per_step, bound, version, lost_after_s)
        self._params = vector.checked(params)  # of the model that is trained
        self._optimizer = optimizer
        _check_optimizer(self._params, optimizer)
        self._batches = Batches(steps, bound, per_step, version)  # who has which
        self._per_step = per_step
        self._lost_after_s, self._after_step = lost_after_s, after_step
        self._full_nbytes = vector.nbytes_of(self._params)  # of a gradient, and of the weights
        self._weights = vector.weights(self._params)  # of this version
        self._is_ahead, self._ahead = ahead, Ahead(self._params, optimizer)
        self._ahead.note_step(self._weights)
        self._sum = torch.zeros(self._full_nbytes // 4)  # of the gradients of the next step
        self._began_s: dict[int, float] = {}  # when workers were given what they compute
        self._failed: dict[int, DeepSeekError] = {}  # how a batch has failed once
        self._last: DeepSeekError | None = None  # the last failure of any worker
        self._next_worker = 0  # the number of the next that joins
        self._heard_s = 0.0  # when any worker was heard last
        self._listener = _listener(address)  # where workers join
        self._selector = selectors.DefaultSelector()  # of the listener and all connections
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def address(self) -> str:
        """Where workers reach it, as "host:port"."""
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def version(self) -> int:
        """Steps that were taken."""
        return self._batches.version

    @property
    def seen(self) -> list[int]:
        """Tell of each gradient by how many steps its weights were old."""
        return self._batches.seen

    def serve(self) -> None:
        """Answer workers until all steps were taken.

        Raises:
            ConfigError: it has ended before.
            RankLost: no worker has given anything for `lost_after_s`.
            RankFailed, NotFiniteGradient: two workers failed by the same batch, or the last one by
                any; the weights are those of the last good step.
        """
        if self._selector.get_map() is None:
            raise errors.ConfigError(
                "this server has ended",
                remedy=f"make another one for what is left: version={self.version}",
            )
        self._heard_s = time.monotonic()
        try:
            while not self._batches.is_over:
                self._turn()
            self._end(frames.Head(frames.OVER).packed())
        except Exception as error:
            self._end(_refusal(error))
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Close all connections and the address."""
        if self._selector.get_map() is None:
            return
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    # Connections

    def _connections(self) -> list[Connection]:
        keys = self._selector.get_map().values()
        return [key.data for key in keys if key.data is not None]

    def _turn(self) -> None:
        for key, events in self._selector.select(_TICK_S):
            if key.data is None:
                self._accept()
            else:
                self._attend(key.data, events)
        self._look()
        for connection in self._connections():
            self._give(connection)
        self._watch()

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:  # it has gone already
            return
        connection = Connection(peer, self._full_nbytes, time.monotonic())
        self._selector.register(peer, selectors.EVENT_READ, connection)

    def _attend(self, connection: Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                connection.flush()
                if connection.is_closing and not connection.has_unsent:
                    connection.end(time.monotonic())
            if events & selectors.EVENT_READ and connection.is_closing:
                connection.discard()
            elif events & selectors.EVENT_READ:
                while self._is_open(connection) and (found := connection.read()) is not None:
                    self._take(connection, *found)
        except (OSError, BadFrame):
            self._drop(connection)

    def _is_open(self, connection: Connection) -> bool:
        return connection.peer.fileno() >= 0 and not connection.is_closing

    def _send(self, connection: Connection, *parts: bytes) -> None:
        try:
            connection.send(time.monotonic(), *parts)
        except OSError:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if connection.peer.fileno() < 0:
            return
        if connection.worker is not None:
            self._lose(connection.worker)
            self._ahead.forget(connection.worker)
        self._selector.unregister(connection.peer)
        connection.peer.close()

    def _lose(self, worker: int) -> None:
        self._began_s.pop(worker, None)
        self._batches.lose(worker)

    def _watch(self) -> None:
        """Ask to be told of what can be written only where something waits for it."""
        for connection in self._connections():
            events = selectors.EVENT_READ
            if connection.has_unsent:
                events |= selectors.EVENT_WRITE
            self._selector.modify(connection.peer, events, connection)

    # Messages

    def _take(self, connection: Connection, head: Head, content: bytearray) -> None:
        self._heard_s = time.monotonic()
        if connection.worker is None:
            self._join(connection, head, content)
        elif head.kind == frames.GRADIENT:
            connection.is_waiting = True
            self._step(connection, head.batch, content)
        elif head.kind == frames.FAILED:
            said = str(frames.fields(content).get("said", ""))
            given = self._batches.given.get(connection.worker)
            where = "" if given is None else f" in batch {given.batch}"
            self._fail(connection, RankFailed(
                f"worker {connection.worker} failed{where}: {said}",
                rank=connection.worker, remedy="see the log of that worker",
            ))  # fmt: skip
        elif head.kind == frames.LEAVE:
            self._drop(connection)
        else:
            raise BadFrame("no message of a worker")

    def _join(self, connection: Connection, head: Head, content: bytearray) -> None:
        if head.kind != frames.JOIN:
            raise BadFrame("it has not joined")
        told = frames.fields(content)
        mine = joining(self._params)
        other = next((name for name in mine if told.get(name) != mine[name]), None)
        if other is not None:
            kind, what = {
                "code": ("CodeMismatch", "other versions of this package or of torch"),
                "model": ("StateMismatch", "parameters of other shapes or in another order"),
            }[other]
            why = f"this worker has {what}: {told.get(other)}, and the server {mine[other]}"
            self._refuse(connection, frames.text(frames.REFUSED, kind=kind, said=why))
            return
        connection.worker, connection.is_waiting = self._next_worker, True
        self._next_worker += 1

    def _step(self, connection: Connection, batch: int, content: bytearray) -> None:
        worker = connection.worker
        assert worker is not None
        given = self._batches.given.get(worker)
        if given is None or given.batch != batch:
            return  # it was slow, and another one has got its batch
        gradient = vector.flat_of(content)
        bad = vector.not_finite(self._params, gradient)
        if bad is not None:
            self._fail(connection, NotFiniteGradient(
                f"the gradient of parameter {bad} by worker {worker} in batch {batch} holds NaN "
                "or infinity; it was not used", rank=worker, parameter=bad,
                remedy="lower the learning rate, or look at the samples of that batch",
            ))  # fmt: skip
            return
        self._sum.add_(gradient, alpha=1 / self._per_step)
        self._began_s.pop(worker, None)
        self._failed.pop(batch, None)
        is_due = self._batches.take(worker)
        self._ahead.note_staleness(worker, self.seen[-1])
        if is_due:
            self._take_step()

    def _fail(self, connection: Connection, error: RankFailed | NotFiniteGradient) -> None:
        """Refuse a worker; another one tries its batch, once."""
        assert connection.worker is not None
        given = self._batches.given.get(connection.worker)
        self._last = error
        self._refuse(connection, _refusal(error))
        if given is not None:
            if given.batch in self._failed:
                raise error
            self._failed[given.batch] = error

    def _refuse(self, connection: Connection, message: bytes) -> None:
        if connection.worker is not None:
            self._lose(connection.worker)
        self._close(connection, message)

    def _close(self, connection: Connection, message: bytes) -> None:
        connection.is_waiting, connection.is_closing = False, True
        try:
            connection.send(time.monotonic(), message)
            if not connection.has_unsent:
                connection.end(time.monotonic())
        except OSError:
            self._drop(connection)

    def _give(self, connection: Connection) -> None:
        """Give a worker that waits the next batch, or let it know that it is not forgotten."""
        if not connection.is_waiting or connection.worker is None:
            return
        now_s = time.monotonic()
        given = self._batches.begin(connection.worker)
        if given is not None:
            connection.is_waiting = False
            self._began_s[connection.worker] = now_s
            collected = self._batches.collected
            mean = self._sum * (self._per_step / collected) if collected else None
            weights = self._weights
            if self._is_ahead:
                weights = self._ahead.weights(connection.worker, weights, mean)
            head = Head(frames.WEIGHTS, given.version, given.batch, self._full_nbytes)
            self._send(connection, head.packed(), vector.bytes_of(weights))
        elif now_s - connection.told_s > _BEAT_S:
            self._send(connection, Head(frames.WAIT).packed())

    def _take_step(self) -> None:
        """Step by the mean of the gradients that were collected.

        Raises:
            NotFiniteGradient: it has made a weight NaN or infinite.
        """
        vector.put_gradients(self._params, self._sum)
        self._sum.zero_()
        self._optimizer.step()
        self._weights = vector.weights(self._params)
        bad = vector.not_finite(self._params, self._weights)
        if bad is not None:
            raise NotFiniteGradient(
                f"step {self.version} has made parameter {bad} NaN or infinite",
                rank=-1, parameter=bad, remedy="lower the learning rate",
            )  # fmt: skip
        self._ahead.note_step(self._weights)
        if self._after_step is not None:
            self._after_step(self.version)

    def _look(self) -> None:
        """Let others compute what the silent ones had; that nobody is left is an error."""
        now_s = time.monotonic()
        for worker, at_s in list(self._began_s.items()):
            if now_s - at_s > self._lost_after_s:
                self._lose(worker)
        for connection in self._connections():
            limit_s = _END_S if connection.is_closing else self._lost_after_s
            is_a_worker = connection.worker is not None and not connection.is_closing
            if not is_a_worker and now_s - connection.since_s > limit_s:
                self._drop(connection)
        is_left = self._began_s or any(c.is_waiting for c in self._connections())
        if not is_left and now_s - self._heard_s > self._lost_after_s:
            raise self._last or RankLost(
                f"no worker has given anything for {self._lost_after_s:g} s, and "
                f"{self._batches.steps - self.version} steps are left",
                remedy=f"start workers with address {self.address}; see the logs of those that ran",
            )

    def _end(self, message: bytes) -> None:
        """Tell all workers, and wait a moment until they have heard; those that come late, too."""
        begin_s, listen = time.monotonic(), []
        for connection in self._connections():
            if connection.is_waiting or connection.worker in self._batches.given:
                listen.append(connection)  # others may hang, or are no workers
        while connections := self._connections():
            for connection in connections:
                if not connection.is_closing:
                    self._close(connection, message)
            limit_s = _END_S if any(one in connections for one in listen) else _LATE_S
            if time.monotonic() - begin_s > limit_s:
                return
            self._watch()
            for key, events in self._selector.select(_TICK_S):
                if key.data is None:
                    self._accept()
                else:
                    self._attend(key.data, events)


def joining(params: list[Tensor]) -> dict[str, Any]:
    """What must be the same at a worker and the server."""
    return {"code": plugin_version(), "model": vector.layout(params)}


def _refusal(error: Exception) -> bytes:
    return frames.text(
        frames.REFUSED, kind=type(error).__name__, said=f"{error}" or type(error).__name__,
        rank=getattr(error, "rank", None), parameter=getattr(error, "parameter", None),
    )  # fmt: skip


def _check(steps: int, per_step: int, bound: int, version: int, lost_after_s: float) -> None:
    if min(steps, per_step) < 1 or max(steps, per_step) > _MOST or bound < 0:
        raise errors.ConfigError(
            f"steps and per_step must be 1 or more and bound 0 or more, got {steps}, {per_step} "
            f"and {bound}"
        )
    if not 0 <= version <= steps:
        raise errors.ConfigError(
            f"version must be 0 to {steps}, which are all steps, got {version}"
        )
    if not lost_after_s > 0:
        raise errors.ConfigError(f"lost_after_s must be more than 0, got {lost_after_s}")


def _check_optimizer(params: list[Tensor], optimizer: torch.optim.Optimizer) -> None:
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [number for number, param in enumerate(params) if id(param) not in stepped]
    if missing:
        raise errors.ConfigError(
            f"the optimizer does not step parameter {missing[0]}",
            remedy="make it of the same model.parameters(), or freeze what it leaves out",
        )


def _listener(address: str) -> socket.socket:
    try:
        host, port = wire.address_of(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, ValueError) as error:
        raise errors.ConfigError(
            f"the server can't listen at {address}: {error}",
            remedy="give HOST:PORT of this machine, or port 0 for any that is free",
        ) from error
    found.setblocking(False)
    return found
