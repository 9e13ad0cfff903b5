"""`ds-sdk store serve-metrics`: counters and gauges for Prometheus."""

from __future__ import annotations

import argparse
import signal
import threading
from typing import Final

from deepseek_core import console, errors
from deepseek_store.cli.common import Command, add_home

_EXAMPLES: Final = """examples:
  ds-sdk store serve-metrics data --port 9108              beside the processes that use the store
  ds-sdk store serve-metrics data --move                   the one that also moves data, all day

Only this machine can reach it unless --host says else; it has no password. Ends by Ctrl-C."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    parser.add_argument(
        "--port",
        type=int,
        default=9108,
        help="port to listen on; 0: any that is free (default: 9108)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--every",
        type=float,
        default=5.0,
        metavar="S",
        help="seconds between two looks at the store",
    )
    parser.add_argument(
        "--move", action="store_true", help="also carry out moves, and collect garbage"
    )
    parser.add_argument(
        "--tick", type=float, default=30.0, metavar="S", help="seconds between two rounds of moves"
    )


def _run(args: argparse.Namespace) -> int:
    from deepseek_store.report.metrics_server import MetricsServer
    from deepseek_store.store import Store

    if args.every < 0 or args.tick <= 0:
        raise errors.ConfigError("--every and --tick are seconds", remedy="--every 5 --tick 30")
    stop = threading.Event()
    # A supervisor's SIGTERM ends it like Ctrl-C does: the store is closed, and its index is whole.
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        with (
            Store(
                args.home,
                shared=True,
                read_only=args.read_only,
                background=args.move,
                tick_s=args.tick,
            ) as store,  # fmt: skip
            MetricsServer(store, host=args.host, port=args.port, keep_s=args.every) as server,
        ):
            console.print_lines(f"serving {server.url}")
            console.flush()
            stop.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


COMMANDS: Final = {
    "serve-metrics": Command(
        add_arguments=_add_arguments,
        run=_run,
        examples=_EXAMPLES,
        details="They are of all processes that have it open.",
    )
}
