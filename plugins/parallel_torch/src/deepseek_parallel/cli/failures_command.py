"""`ds-sdk train failures`: what a log of failures says of the next one, and how often to save."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import attrs

from deepseek_core import console, errors
from deepseek_parallel.hazard.evaluate import (
    LEAST_GAPS,
    SystemReport,
    evaluate_nodes,
    evaluate_system,
    has_history,
    riskiest,
)
from deepseek_parallel.hazard.log import COLUMNS, FailureLog, read_logs
from deepseek_parallel.hazard.lstm import read_weights
from deepseek_parallel.hazard.nodes import Judged
from deepseek_parallel.hazard.past import system_of
from deepseek_parallel.hazard.risk import ConstantRisk, Logistic, OwnRate, RiskModel

EXAMPLES: Final = """examples:
  ds-sdk train failures failures.csv
  ds-sdk train failures failures.csv --cost 20 --system prod --json
  ds-sdk train failures failures.csv --nodes
  ds-sdk train failures failures.csv --fit weights.npz
  ds-sdk train failures incidents.csv --columns time=Timestamp,node=Host

The file has a column `time` (ISO 8601, or seconds since 1970), and if it can `node`, `system` and
`nodes` (how many the system has). Predictors are judged on the last 40 % of the failures, each
forecast from those before it. Lost time is simulated: a training on the whole system, whose saves
cost --cost seconds each.

exit codes: 0 done, 1 no system has failures enough, 2 wrong input"""
_TOP: Final = 10
_SIMULATED: Final = "replay of the log, simulated"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "log", type=Path, metavar="LOG", help="a CSV file, packed or not (.xz, .gz)"
    )
    parser.add_argument(
        "--cost", type=float, default=60.0, metavar="S", help="seconds that a save costs (60)"
    )
    parser.add_argument("--system", metavar="NAME", help="this system of the log only")
    parser.add_argument(
        "--columns", metavar="WHAT=NAME,...", help="how the log calls time, node, system or nodes"
    )
    parser.add_argument(
        "--nodes", action="store_true", help="the risk of each node, too (LSTM: with torch)"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights that --fit wrote")
    parser.add_argument(
        "--fit", type=Path, metavar="FILE", help="learn weights from all of this log, and end"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print what the log says; 1 if no system has failures enough.

    Raises:
        ConfigError: an option that can't be, or torch is missing.
        InputError: a log or weights that can't be read.
    """
    if not 0 < args.cost < float("inf"):
        raise errors.ConfigError(
            f"--cost must be a number of seconds above 0, got {args.cost}", remedy="--cost 60"
        )
    logs = read_logs(args.log, _columns(args.columns))
    if args.system is not None:
        logs = [system_of(logs, args.system)]
    if args.fit is not None:
        return _fit(logs, args.fit)
    weights = None if args.weights is None else read_weights(args.weights)
    able = [log for log in logs if len(log.gaps_s) >= LEAST_GAPS]
    reports = [evaluate_system(log, args.cost, weights) for log in able]
    nodes = _of_nodes(able) if args.nodes and able else None
    if args.json:
        console.print_json(_facts(args, reports, nodes), indent=1)
    else:
        _print(args, reports, nodes)
        short = len(logs) - len(able)
        if short:
            console.print_text(
                f"left out, with fewer than {LEAST_GAPS} gaps between failures: "
                f"{short} of {len(logs)} systems"
            )
    return 0 if reports else 1


def _columns(told: str | None) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in (told or "").split(",") if pair.strip()]
    found = {what.strip(): name.strip() for what, _, name in pairs}
    if not all(what in COLUMNS and name for what, name in found.items()):
        raise errors.ConfigError(
            f"--columns {told!r} does not say how columns are called",
            remedy=f"give WHAT=NAME for {', '.join(COLUMNS)}: --columns time=Timestamp,node=Host",
        )
    return found


def _fit(logs: Sequence[FailureLog], path: Path) -> int:
    try:
        from deepseek_parallel.hazard.fit import fit, write_weights
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise errors.ConfigError(
            "--fit needs torch, which isn't installed",
            remedy=console.install_command("deepseek-parallel", extra="torch"),
        ) from error
    weights = fit([log.gaps_s.tolist() for log in logs])
    try:
        write_weights(weights, path)
    except errors.WriteError as error:
        why = getattr(error.__cause__, "strerror", None) or error.message
        raise errors.ConfigError(f"can't write {path}: {why}", remedy=error.remedy) from error
    console.print_text(f"wrote {path}; use it with --weights {path}")
    return 0


class _Nodes(NamedTuple):
    judged: Mapping[str, Judged]  # by model
    riskiest: Mapping[str, Sequence[tuple[str, float]]]  # by system: node and risk


def _of_nodes(logs: Sequence[FailureLog]) -> _Nodes:
    models: list[RiskModel] = [ConstantRisk(), OwnRate(), Logistic()]
    try:
        from deepseek_parallel.hazard.risk_lstm import LstmRisk

        models.append(LstmRisk())
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
    judged = evaluate_nodes(logs, models)
    return _Nodes(
        judged=judged,
        riskiest={log.system: riskiest(log, Logistic(), _TOP) for log in logs if has_history(log)},
    )


def _print(args: argparse.Namespace, reports: Sequence[SystemReport], nodes: _Nodes | None) -> None:
    for report in reports:
        console.print_text(
            f"system {report.system}: {report.num_failures:,} failures, {report.num_nodes} nodes; "
            f"judged on the last {report.num_judged:,} gaps ({_SIMULATED})"
        )
        console.print_table(
            ("PREDICTOR", "LOG-LIKELIHOOD", "TIME LOST"),
            [(s.name, f"{s.log_likelihood:.3f}", f"{s.waste:.2%}") for s in report.scored],
        )
        console.print_text(
            f"next failure: expected {console.format_seconds(report.next_mean_s)} after the last. "
            f"Save every {console.format_seconds(report.interval_s)} now, by the blend; at a "
            f"constant rate every {console.format_seconds(report.constant_interval_s)} "
            f"(a save costs {args.cost:g} s)"
        )
        console.print_lines()
    if nodes is not None:
        _print_nodes(nodes)


def _print_nodes(nodes: _Nodes) -> None:
    console.print_text("a node fails tomorrow: judged on the last 40 % of the days")
    console.print_table(
        ("MODEL", "AUC", "AVERAGE PRECISION", "PRECISION AT RECALL 10 %"),
        [
            (name, f"{j.auc:.3f}", f"{j.average_precision:.4f}", f"{j.precision_at_recall_10:.3f}")
            for name, j in nodes.judged.items()
        ],
    )
    for system, found in nodes.riskiest.items():
        told = ", ".join(f"{name} ({risk:.1%})" for name, risk in found[:3])
        console.print_text(f"most at risk in system {system}, by logistic regression: {told}")


def _facts(args: argparse.Namespace, reports: Sequence[SystemReport], nodes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "schema": 1,
        "evidence": _SIMULATED,
        "cost_s": args.cost,
        "systems": [attrs.asdict(report) for report in reports],
    }
    if nodes is not None:
        facts["nodes"] = {
            "judged": {name: one._asdict() for name, one in nodes.judged.items()},
            "riskiest": {
                system: [{"node": node, "risk": risk} for node, risk in found]
                for system, found in nodes.riskiest.items()
            },
        }
    return facts
