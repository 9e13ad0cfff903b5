"""`ds-sdk monitor`: devices and engines as they are now, on a page and for Prometheus."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deepseek_core import console, errors
from deepseek_observe.monitor.sample import Sample, Source

EXAMPLES: Final = """examples:
  ds-sdk monitor                            a page on this machine; the address is printed
  ds-sdk monitor --once                     what is there now
  ds-sdk monitor --once --json
  ds-sdk monitor --host 0.0.0.0             for other machines too; the token keeps others out
  ds-sdk monitor --token-file ~/.ds-token   the same token each time, for Prometheus
  ds-sdk monitor --grafana dashboard.json   a dashboard for Grafana
  ds-sdk monitor --simulate 256             the page, with devices that are not here

It shows what the engines of your other programs tell, too: sessions, stores, trainings. The past
is kept on disk, 64 MB at most.

exit codes: 0 done, or ended by Ctrl-C or SIGTERM; 2 wrong arguments, a port that is taken, or a
history that another monitor writes"""
SUMMARY: Final = "Devices and engines as they are now: a page, metrics for Prometheus, alerts."
PORT: Final = 8765
_BETWEEN_S: Final = 0.25  # the two samples of --once, for rates
_MOST_SIMULATED: Final = 4096
_LEAST_TOKEN: Final = 16


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk monitor` with these words and return the exit code."""
    parser = console.command_parser("monitor", summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=PORT, help="0: any (default: %(default)s)")
    parser.add_argument(
        "--name", action="append", default=[], metavar="NAME",
        help="a name by which browsers reach it, as behind a proxy; again for more",
    )  # fmt: skip
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="the token; made if it is not there"
    )
    parser.add_argument("--history", type=Path, metavar="FOLDER", help="where the past is kept")
    parser.add_argument("--no-history", action="store_true", help="keep no past on disk")
    parser.add_argument(
        "--history-size",
        type=console.nbytes_of,
        default="64M",
        metavar="BYTES",
        help="at most (default: %(default)s)",
    )
    parser.add_argument(
        "--every",
        type=console.seconds_of,
        default="1",
        metavar="SECONDS",
        help="between two samples (default: %(default)s)",
    )
    parser.add_argument(
        "--alert", action="append", default=[], metavar="NAME=VALUE",
        help="another threshold, as temperature=80; again for more",
    )  # fmt: skip
    parser.add_argument("--simulate", type=int, metavar="N", help="N devices that are not here")
    parser.add_argument("--once", action="store_true", help="print one sample and end")
    parser.add_argument("--json", action="store_true", help="print one JSON object (with --once)")
    parser.add_argument(
        "--grafana", type=Path, metavar="OUT", help="write a dashboard for Grafana and end"
    )
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Do what the words say.

    Raises:
        ConfigError: words that do not go together, or that can't be.
        WriteError: the dashboard or the token can't be written.
    """
    from deepseek_observe.monitor.alerts import rules_with

    _check(args)
    rules = rules_with(args.alert)
    if args.grafana is not None:
        return _grafana(args.grafana)
    if args.once:
        return _once(args, rules)
    from deepseek_observe.monitor.serving import Options, running, wait_for_the_end

    options = Options(
        host=args.host, port=args.port, token=_token(args.token_file), rules=rules,
        history=_history(args), history_bytes=args.history_size,
        every_s=args.every, names=tuple(args.name),
    )  # fmt: skip
    with running(options, _sources(args.simulate)) as port:
        _say_where(args, options.token, port)
        wait_for_the_end()
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.json and not args.once:
        raise errors.ConfigError("--json prints one sample", remedy="ds-sdk monitor --once --json")
    if args.once and args.grafana is not None:
        raise errors.ConfigError("--once and --grafana are two things", remedy="leave one out")
    if args.history is not None and args.no_history:
        raise errors.ConfigError("--history and --no-history", remedy="leave one out")
    if not 0 <= args.port <= 65535:
        raise errors.ConfigError(
            f"--port {args.port}: 0 to 65535", remedy="ds-sdk monitor --port 0"
        )
    if args.simulate is not None and not 1 <= args.simulate <= _MOST_SIMULATED:
        raise errors.ConfigError(
            f"--simulate {args.simulate}: 1 to {_MOST_SIMULATED}",
            remedy="ds-sdk monitor --simulate 8",
        )
    if not 0.1 <= args.every <= 60:
        raise errors.ConfigError(
            f"--every {args.every:g}: 0.1 to 60 seconds", remedy="ds-sdk monitor --every 1"
        )
    if args.history_size < 1 << 20:
        raise errors.ConfigError(
            f"--history-size {args.history_size}: 1M or more",
            remedy="ds-sdk monitor --no-history",
        )


def _sources(simulated: int | None) -> list[Source]:
    from deepseek_observe.monitor.sources.gpus import Gpus
    from deepseek_observe.monitor.sources.host import FileSystems, Host
    from deepseek_observe.monitor.sources.simulated import Simulation

    devices: Source = Gpus() if simulated is None else Simulation(simulated)
    return [Host(), FileSystems(), devices]


def _history(args: argparse.Namespace) -> Path | None:
    """The folder of the past; a simulation's is kept only where the user says."""
    if args.history is not None:
        return Path(args.history).expanduser().absolute()
    if args.no_history or args.simulate is not None:
        return None
    return console.cache_dir() / "monitor"


def _token(file: Path | None) -> str:
    """The token of the file, or a new one, which is kept there."""
    if file is None:
        return secrets.token_urlsafe(24)
    file = file.expanduser()
    try:
        with file.open("rb") as stream:
            if os.fstat(stream.fileno()).st_mode & 0o077:
                raise errors.ConfigError(
                    f"others may read the token in {file}", remedy=f"chmod 600 {file}"
                )
            token = stream.read(1000).decode("ascii").strip()
    except FileNotFoundError:
        return _new_token(file)
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ConfigError(
            f"no token can be read from {file}: {error}", remedy="ds-sdk monitor (without the file)"
        ) from error
    if len(token) < _LEAST_TOKEN or any(c.isspace() for c in token):
        raise errors.ConfigError(
            f"the token in {file} is not one word of {_LEAST_TOKEN} characters or more",
            remedy=f"rm {file} (a new one is made)",
        )
    return token


def _new_token(file: Path) -> str:
    token = secrets.token_urlsafe(24)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(token + "\n")
    except OSError as error:
        raise errors.WriteError(
            f"{file} can't be written: {error.strerror or error}",
            remedy="ds-sdk monitor (without --token-file)",
        ) from error
    return token


def _say_where(args: argparse.Namespace, token: str, port: int) -> None:
    host = "localhost" if args.host in ("127.0.0.1", "0.0.0.0", "::") else args.host  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    console.print_text(f"page:    http://{host}:{port}/?token={token}")
    console.print_text(f"metrics: http://{host}:{port}/metrics   (Authorization: Bearer TOKEN)")
    if args.simulate is not None:
        console.print_text(f"simulation: {args.simulate} devices that are not here")
    console.print_text("Ctrl-C ends it")
    console.flush()


def _grafana(out: Path) -> int:
    from deepseek_observe.monitor.grafana import dashboard

    with console.whole_file(out) as partial:
        partial.write_text(json.dumps(dashboard(), indent=1) + "\n", encoding="utf-8")
    console.print_note(f"wrote {out}; in Grafana: Dashboards, New, Import")
    return 0


def _once(args: argparse.Namespace, rules: Any) -> int:
    from deepseek_observe.monitor.engines import Engines
    from deepseek_observe.monitor.sampler import Sampler

    sampler = Sampler(_sources(args.simulate), Engines(), rules)
    sampler.sample()
    time.sleep(_BETWEEN_S)
    sample = sampler.sample()
    sampler.end()
    if args.json:
        console.print_json(_facts(sample), indent=1)
    else:
        _print(sample)
    return 0


def _facts(sample: Sample) -> dict[str, Any]:
    from deepseek_observe.monitor.families import FAMILIES

    return {
        "schema": 1,
        "time_s": sample.time_s,
        "values": [
            {
                "name": name,
                "labels": dict(zip(FAMILIES[name].labels, labels, strict=True)),
                "value": value,
            }
            for (name, labels), value in sample.values.items()
        ],
        "alerts": [
            {"name": one.name, "subject": one.subject, "text": one.text} for one in sample.alerts
        ],
        "notes": dict(sample.notes),
    }


def _print(sample: Sample) -> None:
    from deepseek_observe.monitor import families

    rows = []
    for (name, labels), up in sample.drawn.items():
        if name == families.UP:
            rows.append((*labels, "up" if up else "lost", *_cells(sample.drawn, labels)))
    console.print_table(
        ("DEVICE", "KIND", "STATE", "UTILIZATION", "MEMORY", "BANDWIDTH", "TEMPERATURE", "POWER"),
        rows,
    )
    for text in sample.notes.values():
        console.print_text(text)
    console.print_lines()
    if not sample.alerts:
        console.print_text("no alert")
    for one in sample.alerts:
        console.print_text(f"ALERT {one.name}: {one.subject}: {one.text}")


def _cells(drawn: Mapping[Any, float], labels: tuple[str, ...]) -> list[str]:
    told = (
        ("utilization_ratio", "{:.0%}"), ("memory_used_ratio", "{:.0%}"),
        ("dram_bandwidth_ratio", "{:.0%}"), ("temperature_celsius", "{:.0f} °C"),
        ("power_watts", "{:.0f} W"),
    )  # fmt: skip
    values = [(drawn.get((f"deepseek_device_{name}", labels)), form) for name, form in told]
    return ["-" if value is None else form.format(value) for value, form in values]
