"""A monitor as a whole: sampler, events, history, server; it ends within two seconds."""

from __future__ import annotations

import math
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import uvicorn

from deepseek_core import errors
from deepseek_observe.monitor.alerts import Rule
from deepseek_observe.monitor.engines import Engines
from deepseek_observe.monitor.families import KEPT, Series
from deepseek_observe.monitor.history.history import History
from deepseek_observe.monitor.history.table import Recent
from deepseek_observe.monitor.sample import Source
from deepseek_observe.monitor.sampler import Sampler
from deepseek_observe.monitor.web.app import make_app
from deepseek_observe.monitor.web.guard import names_of
from deepseek_observe.monitor.web.hub import ROWS, Hub
from deepseek_observe.monitor.web.metrics import Metrics
from deepseek_observe.monitor.wire.receiving import Receiver

_START_LIMIT_S: Final = 10.0
_END_LIMIT_S: Final = 1


@attrs.frozen(kw_only=True)
class Options:
    """What a monitor is told. `port` 0: any that is free; `history` None: no past is kept."""

    host: str
    port: int
    token: str
    rules: tuple[Rule, ...]
    history: Path | None
    history_bytes: int
    every_s: float
    names: tuple[str, ...] = ()


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        ConfigError: the port is taken, not ours to take, or the host is no address of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listening = socket.socket(found[0][0], socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise errors.ConfigError(
            f"--host {host}: {error}", remedy="ds-sdk monitor --host 127.0.0.1"
        ) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(found[0][4])
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise errors.ConfigError(
            f"can't listen on {host}, port {port}: {error.strerror or error}",
            remedy="ds-sdk monitor --port 0 (any port that is free)",
        ) from error
    return listening


@contextmanager
def running(options: Options, sources: Sequence[Source]) -> Iterator[int]:
    """A monitor that runs until the block ends; gives its port.

    Raises:
        ConfigError: the port, the history or the folder of events can't be had.
    """
    with ExitStack() as stack:
        listening = stack.enter_context(bound(options.host, options.port))
        history = None
        if options.history is not None:
            history = History(options.history, limit=options.history_bytes)
            stack.callback(history.close)
        engines = Engines()
        receiver = Receiver(engines.take)
        stack.callback(receiver.close)
        hub, metrics = Hub(engines), Metrics()
        if history is not None:
            hub.restore(_filler(history))
        sampler = _sampler(options, sources, engines, hub, history)
        sampler.takers += [metrics.take, hub.take]  # what the page shows, a scraper finds
        if history is not None:
            sampler.takers.append(history.take)
        app = make_app(
            hub, metrics, history, options.rules,
            token=options.token, names=(*names_of(options.host), *options.names),
        )  # fmt: skip
        stack.enter_context(_server(app, listening, hub))
        stack.callback(sampler.end)
        sampler.begin()
        yield int(listening.getsockname()[1])


def _sampler(
    options: Options, sources: Sequence[Source], engines: Engines, hub: Hub, history: History | None
) -> Sampler:
    return Sampler(
        sources, engines, options.rules, every_s=options.every_s, extra=hub.values,
        fault=lambda: None if history is None else history.fault,
    )  # fmt: skip


def _filler(history: History) -> Any:
    def fill(recent: Recent) -> None:
        now_s = time.time()
        for table in history.tables(now_s - ROWS, KEPT):
            for at_s, row in zip(table.times.tolist(), table.values, strict=True):
                if now_s - ROWS <= at_s <= now_s:
                    known = zip(table.series, row.tolist(), strict=True)
                    recent.add(at_s, _there(known))

    return fill


def _there(known: Any) -> dict[Series, float]:
    return {series: value for series, value in known if not math.isnan(value)}


@contextmanager
def _server(app: Any, listening: socket.socket, hub: Hub) -> Iterator[None]:
    """The server, in a thread: signals stay ours, so that the history is written at the end."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, date_header=False,
        lifespan="on", timeout_graceful_shutdown=_END_LIMIT_S, timeout_keep_alive=5,
        h11_max_incomplete_event_size=16_384, limit_concurrency=512, ws="none",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name="server", daemon=True
    )
    thread.start()
    limit_s = time.monotonic() + _START_LIMIT_S
    while not server.started and thread.is_alive() and time.monotonic() < limit_s:
        time.sleep(0.005)
    if not server.started:
        raise errors.ConfigError(
            f"the server did not start in {_START_LIMIT_S:g} s", remedy="ds-sdk monitor --port 0"
        )
    try:
        yield
    finally:
        server.should_exit = True
        hub.end()
        thread.join(_END_LIMIT_S + 0.5)


def wait_for_the_end() -> None:
    """Until SIGTERM, SIGINT or SIGHUP, unless it is ignored (nohup); the handlers come back."""
    end = threading.Event()
    every = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    kinds = [kind for kind in every if signal.getsignal(kind) is not signal.SIG_IGN]
    before = {kind: signal.signal(kind, lambda *_: end.set()) for kind in kinds}
    try:
        end.wait()
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
