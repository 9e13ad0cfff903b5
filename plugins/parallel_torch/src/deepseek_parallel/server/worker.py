"""A worker of a parameter server."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from torch import Tensor

from deepseek_core import DeepSeekError, errors
from deepseek_parallel.elastic import wire
from deepseek_parallel.errors import (
    CodeMismatch,
    NotFiniteGradient,
    RankFailed,
    RankLost,
    StateMismatch,
)
from deepseek_parallel.server import frames, vector
from deepseek_parallel.server.frames import HEAD_NBYTES, BadFrame, Head
from deepseek_parallel.server.parameter_server import joining

_AGAIN_S: Final = 0.1


def work_at_server(
    params: Iterable[Tensor],
    gradient: Callable[[int], object],
    *,
    address: str,
    steps: int | None = None,
    limit_s: float = 60.0,
) -> int:
    """Be a worker: `gradient(number)` does the backward pass of batch `number`; the steps taken.

    `params` are those of the server, in its order. Leaves when no batch is left, or after `steps`.
    `limit_s` is how long the server may be silent, and how long it is looked for.

    Raises:
        ConfigError: an address that is none, or parameters that can't be sent.
        RankLost: the server can't be reached or does not answer.
        CodeMismatch, StateMismatch: it runs other code, or trains another model.
        NotFiniteGradient, RankFailed: by this worker, or the error that has ended the server.
    """
    own = vector.checked(params)
    if steps is not None and steps < 1:
        raise errors.ConfigError(f"steps must be 1 or more, got {steps}")
    try:
        where = wire.address_of(address)
    except ValueError as error:
        raise errors.ConfigError(str(error), remedy="give server.address") from error
    try:
        with _connected(where, limit_s) as peer:
            peer.settimeout(limit_s)
            wire.at_once(peer)
            return _worked(peer, own, gradient, steps)
    except (OSError, BadFrame) as error:
        raise RankLost(
            f"the parameter server at {address} does not answer: {error or type(error).__name__}",
            remedy="see its log; limit_s is how long it may be silent",
        ) from error


def _connected(where: tuple[str, int], limit_s: float) -> socket.socket:
    until_s = time.monotonic() + limit_s
    while True:
        try:
            return socket.create_connection(where, max(_AGAIN_S, until_s - time.monotonic()))
        except OSError:
            if time.monotonic() + _AGAIN_S > until_s:
                raise
            time.sleep(_AGAIN_S)


def _worked(
    peer: socket.socket, own: list[Tensor], gradient: Callable[[int], object], steps: int | None
) -> int:
    nbytes, taken = vector.nbytes_of(own), 0
    peer.sendall(frames.text(frames.JOIN, **joining(own)))
    while True:
        head, content = _received(peer, nbytes)
        if head.kind == frames.OVER:
            return taken
        if head.kind == frames.REFUSED:
            raise _told(frames.fields(content))
        if head.kind != frames.WEIGHTS:
            continue
        vector.put_weights(own, vector.flat_of(content))
        for param in own:
            param.grad = None
        try:
            gradient(head.batch)
            data = vector.bytes_of(vector.gradients(own))
        except Exception as error:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            peer.sendall(frames.text(frames.FAILED, said=said))
            _leave(peer)
            raise
        taken += 1
        peer.sendall(Head(frames.GRADIENT, head.version, head.batch, nbytes).packed())
        peer.sendall(data)
        if taken == steps:
            _leave(peer)
            return taken


def _leave(peer: socket.socket) -> None:
    """Say so, and let the server close: a connection that is closed with answers unread is cut."""
    peer.sendall(Head(frames.LEAVE).packed())
    while peer.recv(1 << 16):
        pass


def _received(peer: socket.socket, nbytes: int) -> tuple[Head, bytearray]:
    head = Head.read(_exactly(peer, HEAD_NBYTES), nbytes)
    return head, _exactly(peer, head.nbytes)


def _exactly(peer: socket.socket, nbytes: int) -> bytearray:
    data, filled = bytearray(nbytes), 0
    while filled < nbytes:
        with memoryview(data)[filled:] as rest:
            count = peer.recv_into(rest)
        if not count:
            raise ConnectionResetError("it has ended")
        filled += count
    return data


def _told(fields: dict[str, Any]) -> DeepSeekError:
    """The error that the server tells."""
    said, kind = str(fields.get("said", "")), fields.get("kind")
    rank, parameter = int(fields.get("rank") or 0), int(fields.get("parameter") or 0)
    if kind == "CodeMismatch":
        return CodeMismatch(said, remedy="install the same versions on all machines")
    if kind == "StateMismatch":
        return StateMismatch(said, remedy="build the same model as the server")
    if kind == "NotFiniteGradient":
        return NotFiniteGradient(
            said, rank=rank, parameter=parameter,
            remedy="lower the learning rate, or look at the samples of that batch",
        )  # fmt: skip
    if kind == "RankFailed":
        return RankFailed(said, rank=rank, remedy="see the log of that worker")
    return RankLost(said, remedy="see the log of the server")
