"""Whether compressed gradients make a step faster: their computation beside the bytes saved."""

from __future__ import annotations

import socket
import threading
import time
from typing import Final

import attrs
import numpy as np

from deepseek_core import errors, training
from deepseek_parallel.codec import packet
from deepseek_parallel.exchange import Layout
from deepseek_parallel.feedback import Feedback
from deepseek_parallel.planning.layer import all_reduce_s

_ROUNDS: Final = 3
_PROBE_NBYTES: Final = 16 * 2**20
_PINGS: Final = 200
_WAIT_S: Final = 10.0
_ELEMENT_NBYTES: Final = 4


@attrs.frozen(kw_only=True)
class Comparison:
    """Seconds that the exchange of a step takes, by a model of the link.

    `whole_s` is an all-reduce in float32, `compressed_s` the compressed exchange, of which
    `codec_s` was measured on this machine. Below `even_bytes_per_s` a link makes compression pay.
    """

    whole_s: float
    compressed_s: float
    codec_s: float
    even_bytes_per_s: float

    @property
    def speedup(self) -> float:
        """Above 1 compression pays."""
        return self.whole_s / self.compressed_s


def compared(length: int, ratio: float, ranks: int, link: training.Link) -> Comparison:
    """Compare for a gradient of `length` values on so many ranks; the codec runs some times.

    Raises:
        InputError: fewer than two ranks, which exchange nothing.
    """
    if ranks < 2:
        raise errors.InputError(f"{ranks} ranks exchange nothing", remedy="give 2 or more")
    layout = Layout(length=length, ranks=ranks, ratio=ratio, ratio_of_sum=ratio)
    codec_s = _codec_s(layout)
    sent = layout.payload_nbytes
    whole_nbytes = 2 * (ranks - 1) / ranks * _ELEMENT_NBYTES * length
    return Comparison(
        whole_s=all_reduce_s(_ELEMENT_NBYTES * length, ranks, link, 1.0),
        compressed_s=codec_s + sent / link.bytes_per_s + 2 * (ranks - 1) * link.latency_s,
        codec_s=codec_s,
        even_bytes_per_s=max(whole_nbytes - sent, 0.0) / codec_s,
    )


def loopback() -> training.Link:
    """What two processes of this machine exchange by, measured with a socket in 0.1 s.

    Raises:
        ConfigError: this machine has no loopback interface.
    """
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            echo = threading.Thread(target=_echo, args=(server,), daemon=True)
            echo.start()
            with socket.create_connection(server.getsockname(), timeout=_WAIT_S) as near:
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return _timed(near)
    except OSError as error:
        raise errors.ConfigError(
            f"the loopback interface can't be measured: {error}", remedy="give --link 10gbit,50us"
        ) from error


def _timed(near: socket.socket) -> training.Link:
    begin_s = time.perf_counter()
    for _ in range(_PINGS):
        near.sendall(b"x")
        near.recv(1)
    latency_s = (time.perf_counter() - begin_s) / (2 * _PINGS)
    data = bytes(_PROBE_NBYTES)
    begin_s = time.perf_counter()
    near.sendall(data)
    near.shutdown(socket.SHUT_WR)
    near.recv(1)  # it has all
    return training.Link(
        bytes_per_s=_PROBE_NBYTES / (time.perf_counter() - begin_s), latency_s=latency_s
    )


def _echo(server: socket.socket) -> None:
    """Give back single bytes, then read what comes and say that it is there."""
    far, _ = server.accept()
    with far:
        far.settimeout(_WAIT_S)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(_PINGS):
            far.sendall(far.recv(1))
        while far.recv(2**20):
            pass
        far.sendall(b"x")


def _codec_s(layout: Layout) -> float:
    """Seconds that one rank computes for an exchange; the least of some, on made gradients."""
    rng = np.random.default_rng(0)
    feedback = Feedback(layout, 0, momentum=0.9)
    found = []
    for _ in range(_ROUNDS):
        update = rng.standard_normal(layout.length, np.float32)
        begin_s = time.perf_counter()
        packets = feedback.offer(update)
        _exchanged(feedback, packets)
        found.append(time.perf_counter() - begin_s)
    return min(found)


def _exchanged(feedback: Feedback, packets: list[bytes]) -> None:
    """Do the rest of a step as if every rank had offered what this one did."""
    layout = feedback.layout
    mine, length = packets[0], layout.bounds(0)[1]
    own = feedback.own([packet.decode(mine, length) for _ in range(layout.ranks)])
    lengths = (end - begin for begin, end in map(layout.bounds, range(layout.ranks)))
    sums = [
        packet.decode(own if n == length else packets[rank], n) for rank, n in enumerate(lengths)
    ]
    feedback.finish(sums)
