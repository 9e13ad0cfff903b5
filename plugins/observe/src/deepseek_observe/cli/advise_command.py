"""`ds-sdk advise`: what to unset, what to set, where to run, and what to expect."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core import console, errors

if TYPE_CHECKING:
    from deepseek_observe.advise.advice import Advice
    from deepseek_observe.advise.hardware.choice import Choice
    from deepseek_observe.advise.hardware.iteration import Iteration
    from deepseek_observe.advise.report import Prediction, Report
    from deepseek_observe.advise.topology.record import Topology

EXAMPLES: Final = """examples:
  ds-sdk advise                                    this machine and this shell
  ds-sdk advise --topology topo.txt --env job.sh   nvidia-smi topo -m > topo.txt
  env | ds-sdk advise --env -
  ds-sdk advise --nccl-log all_reduce.log          a law of its times, and what it shows
  ds-sdk advise --fabric tree.toml --topology topo.xml
  ds-sdk advise --model 7b --cluster a100-80g:4    time of a training step
  ds-sdk advise --model 70b --budget 64gpus 30d    which device, and how many

A topology is the output of nvidia-smi topo -m, the XML of NCCL_TOPO_DUMP_FILE (NCCL or RCCL) or of
lstopo, or lscpu -J. Nothing is changed, and nothing is measured.

exit codes: 0 done, 2 wrong arguments, or a file that is something else"""
SUMMARY: Final = (
    "Advise on settings of NCCL and Gloo, binding, fabric and hardware, with reasons and sources."
)
_MOST_ENV_NBYTES: Final = 4 << 20
_MOST_LOG_NBYTES: Final = 256 << 20
_SIZES: Final = (1 << 10, 1 << 16, 1 << 20, 1 << 24, 1 << 28, 1 << 32)


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk advise` with these words and return the exit code."""
    parser = console.command_parser("advise", summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument(
        "--topology", action="append", default=[], type=Path, metavar="FILE",
        help="of a machine; again for more files of it",
    )  # fmt: skip
    parser.add_argument("--env", metavar="FILE", help="output of env, or a script; - is stdin")
    parser.add_argument(
        "--nccl-log", action="append", default=[], type=Path, metavar="FILE",
        help="output of all_reduce_perf and its like, or a CSV; again for more",
    )  # fmt: skip
    parser.add_argument(
        "--cluster", metavar="GPUS", help="GPU:NODES, or a TOML file as train plan has it"
    )
    parser.add_argument("--fabric", type=Path, metavar="FILE", help="TOML of a tree of switches")
    parser.add_argument("--model", metavar="SIZE", help="parameters of a model: 7b, 350m, 1.5t")
    parser.add_argument(
        "--budget", nargs="+", default=[], metavar="AMOUNT",
        help="64gpus, 30d, 40kW, 50000usd, together",
    )  # fmt: skip
    parser.add_argument(
        "--price", nargs="+", default=[], metavar="GPU=USD", help="dollars an hour for one GPU"
    )
    parser.add_argument(
        "--tokens", type=_count, metavar="N", help="of the training; 20 a parameter if not given"
    )
    parser.add_argument(
        "--tokens-per-step", type=_count, default=4e6, metavar="N", help="on all GPUs (4e6)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return run(parser.parse_args(argv))


def _count(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 1e18:
        raise argparse.ArgumentTypeError(f"must be a number of tokens, as 1e12, got {text!r}")
    return value


def run(args: argparse.Namespace) -> int:
    """Print the advice.

    Raises:
        ConfigError: options that do not go together, or a name that is unknown.
        InputError: figures that can't be.
        ArtifactError: a file that can't be read, or is something else.
    """
    from deepseek_observe.advise.report import advise, facts_of

    _check(args)
    asked, unseen = _asked(args)
    report = advise(asked)
    step = _step(args, report)
    choices = _choices(args)
    if args.json:
        console.print_json(_facts(asked.topologies, report, step, choices, unseen), indent=1)
        return 0
    for line in (*facts_of(asked.topologies), *(f"not seen: {one}" for one in unseen)):
        console.print_text(line)
    if asked.topologies or unseen:
        console.print_lines()
    _print_advice(report.advice, quiet=step is not None or bool(choices or report.predictions))
    for one in report.predictions:
        _print_prediction(one)
    if step is not None:
        _print_step(step, args)
    if choices:
        _print_choices(choices, args)
    return 0


def _check(args: argparse.Namespace) -> None:
    if (args.budget or args.price or args.tokens) and args.model is None:
        raise errors.ConfigError(
            "--budget, --price and --tokens are about a model", remedy="add --model 7b"
        )
    if args.model is not None and args.cluster is not None and args.budget:
        raise errors.ConfigError(
            "--cluster gives the hardware, and --budget asks for it", remedy="give one of both"
        )
    if args.cluster is not None and args.model is None and args.fabric is None:
        raise errors.ConfigError(
            "--cluster alone leaves open what runs on it", remedy="add --model 7b, or --fabric FILE"
        )


def _asked(args: argparse.Namespace) -> tuple[Any, tuple[str, ...]]:
    from deepseek_observe.advise.cluster_file import read_cluster, read_tree
    from deepseek_observe.advise.collectives.table import parse_tables
    from deepseek_observe.advise.live import look
    from deepseek_observe.advise.report import Asked
    from deepseek_observe.advise.topology.opening import read_text, read_topology

    cluster = None if args.cluster is None else read_cluster(args.cluster)
    tree = None if args.fabric is None else read_tree(args.fabric)
    nothing = not (args.topology or args.env or args.nccl_log or args.fabric or args.model)
    if nothing:
        machine = look()
        asked = Asked(
            topologies=machine.topologies, environment=machine.environment,
            interfaces=machine.interfaces, absent=machine.absent,
        )  # fmt: skip
        return asked, machine.unseen
    asked = Asked(
        topologies=[read_topology(path) for path in args.topology],
        environment=None if args.env is None else _environment(args.env),
        tables=[
            table
            for path in args.nccl_log
            for table in parse_tables(read_text(path, _MOST_LOG_NBYTES), str(path))
        ],
        cluster=cluster,
        tree=tree,
    )
    return asked, ()


def _environment(where: str) -> Any:
    from deepseek_observe.advise.environment.reading import parse_environment
    from deepseek_observe.advise.topology.opening import decoded, read_text

    if where == "-":
        return parse_environment(decoded(sys.stdin.buffer.read(_MOST_ENV_NBYTES), "stdin"), "stdin")
    return parse_environment(read_text(Path(where), _MOST_ENV_NBYTES), where)


def _step(args: argparse.Namespace, report: Report) -> Iteration | None:
    if args.model is None or args.cluster is None:
        return None
    from deepseek_observe.advise.cluster_file import read_cluster
    from deepseek_observe.advise.hardware.iteration import iterate
    from deepseek_observe.advise.hardware.model import shape_of

    cluster = read_cluster(args.cluster)
    measured = next(
        (
            one.model for one in report.predictions
            if one.table.collective == "all_reduce" and one.table.ranks == cluster.world
        ),
        None,
    )  # fmt: skip
    return iterate(cluster, shape_of(args.model), args.tokens_per_step, measured=measured)


def _choices(args: argparse.Namespace) -> tuple[Choice, ...]:
    if args.model is None or args.cluster is not None:
        return ()
    from deepseek_observe.advise.hardware.choice import budget_of, choose, prices_of
    from deepseek_observe.advise.hardware.model import shape_of

    return choose(
        shape_of(args.model), budget_of(args.budget), tokens=args.tokens,
        step_tokens=args.tokens_per_step, prices=prices_of(args.price),
    )  # fmt: skip


def _print_advice(advice: Sequence[Advice], *, quiet: bool) -> None:
    if not advice and not quiet:
        console.print_text("nothing to advise: no rule speaks")
    for one in advice:
        console.print_text(f"{one.kind.value.upper()}  {one.what}  [{one.rule}]")
        console.print_text(f"   why: {one.why}")
        for line in one.paste:
            console.print_text(f"   $ {line}")
        console.print_text(f"   source: {one.source}")
    if advice:
        console.print_lines()


def _print_prediction(one: Prediction) -> None:
    from deepseek_observe.advise.collectives.model import bus_bytes_per_s, wire_bytes_per_s

    table, model = one.table, one.model
    ranks = "" if table.ranks is None else f" of {table.ranks} ranks"
    nodes = "" if table.nodes is None else f" on {_counted(table.nodes, 'node')}"
    error = "too few sizes to tell" if one.error is None else f"{one.error:.1%} (median)"
    console.print_text(
        f"{table.source}: {table.collective or 'a collective'}{ranks}{nodes}, "
        f"{len(table.points)} sizes"
    )
    console.print_text(
        f"t = {model.a:.3g} s + {model.b:.3g} s sqrt(S) + {model.c:.3g} s S, corrected between "
        f"measured sizes; off at a size left out: {error}"
    )
    rows = []
    for nbytes in _SIZES:
        seconds = model.seconds(nbytes)
        within = model.sizes[0] <= nbytes <= model.sizes[-1]
        rate = "-"
        if table.collective is not None and (table.ranks or 0) >= 2:
            bus = bus_bytes_per_s(table.collective, table.ranks or 2, nbytes, seconds)
            rate = f"{bus / 1e9:.4g} GB/s"
            if (table.nodes or 1) > 1:
                wire = wire_bytes_per_s(bus, table.ranks or 2, table.nodes or 1)
                rate += f" ({wire / 1e9:.3g} on the wire of each)"
        rows.append(
            (console.format_bytes(nbytes), console.format_seconds(seconds), rate,
             "" if within else "beyond what was measured")
        )  # fmt: skip
    console.print_table(("SIZE", "TIME", "BUS BANDWIDTH", ""), rows)
    console.print_lines()


def _print_step(step: Iteration, args: argparse.Namespace) -> None:
    console.print_text(
        f"a step of {step.tokens:,.0f} tokens, {args.model} on {args.cluster}: "
        f"{console.format_seconds(step.least_s)} with the exchange hidden, "
        f"{console.format_seconds(step.most_s)} with none of it hidden; bound by {step.bound}"
    )
    if not step.fits:
        console.print_text(
            f"it does not fit: {console.format_bytes(int(step.needed_nbytes))} a GPU with one "
            f"sequence and selective recomputation, {console.format_bytes(int(step.usable_nbytes))}"
            " to plan for"
        )
    told = "sharded over the ranks" if step.sharded else "whole on each rank"
    console.print_text(
        f"computing {console.format_seconds(step.compute_s)}, exchange "
        f"{console.format_seconds(step.exchange_s)}, optimizer "
        f"{console.format_seconds(step.optimizer_s)}; states {told}; evidence: {step.evidence}, "
        "half of the peak"
    )
    console.print_text("tensor and pipeline parallelism: ds-sdk train plan searches them")


def _print_choices(choices: Sequence[Choice], args: argparse.Namespace) -> None:
    from deepseek_observe.advise.hardware.catalogue import PROCESSORS

    best = choices[0]
    if best.missing:
        console.print_text(f"no device keeps the budget; nearest first, for {args.model}")
    else:
        host = PROCESSORS[best.device.host]
        console.print_text(
            f"{args.model}: {best.gpus} x {best.device.told} in "
            f"{_counted(best.nodes, 'system')}, each "
            f"with two {host.told} ({2 * host.cores // best.device.per_node} cores a GPU, "
            f"{2 * host.memory_bytes_per_s / 1e9:.0f} GB/s of memory)"
        )
    rows = [
        (
            one.device.name, str(one.gpus), str(one.least_gpus), _days(one.seconds),
            _watts(one.watts), f"{one.kwh / 1e3:.3g} MWh",
            "-" if one.usd is None else f"{one.usd:,.0f} USD",
            "; ".join(one.missing) or "yes",
        )
        for one in choices
    ]  # fmt: skip
    console.print_table(
        ("DEVICE", "GPUS", "HOLD IT", "TIME", "POWER", "ENERGY", "COST", "IN THE BUDGET"), rows
    )
    console.print_lines()
    for one in choices:
        if one.against:
            console.print_text(f"against {one.device.name}: {'; '.join(one.against)}")
    console.print_text(
        "evidence: model, nothing was measured; data sheets, half of the peak on each (newer "
        "devices mostly reach less), 16 bytes a parameter (Adam, mixed precision), whole systems"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _watts(watts: float) -> str:
    return f"{watts / 1e6:.3g} MW" if watts >= 1e6 else f"{watts / 1e3:.3g} kW"


def _days(seconds: float) -> str:
    days = seconds / 86400
    if days >= 100:
        return f"{days:,.0f} days"
    return f"{days:.3g} days" if days >= 1 else f"{seconds / 3600:.3g} h"


def _facts(
    topologies: Sequence[Topology], report: Report, step: Iteration | None,
    choices: Sequence[Choice], unseen: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    return {
        "schema": 1,
        "topologies": [_of_topology(one) for one in topologies],
        "not_seen": list(unseen),
        "advice": [{**attrs.asdict(one), "kind": one.kind.value} for one in report.advice],
        "predictions": [_of_prediction(one) for one in report.predictions],
        "step": None
        if step is None
        else {
            **attrs.asdict(step), "least_s": step.least_s, "most_s": step.most_s, "fits": step.fits,
            "bound": step.bound,
        },
        "choices": [_of_choice(one) for one in choices],
    }  # fmt: skip


def _of_topology(one: Topology) -> dict[str, Any]:
    from deepseek_observe.advise.pairing import commands, pairs

    found = pairs(one)
    return {
        **attrs.asdict(attrs.evolve(one, distances={})),
        "distances": [[*names, what] for names, what in one.distances.items()],
        "pairs": [
            {
                "gpu": pair.gpu.index,
                "nic": None if pair.nic is None else pair.nic.name,
                "distance": pair.distance,
                "numa": pair.numa,
                "command": command,
            }
            for pair, command in zip(found, commands(found), strict=True)
        ],
    }


def _of_prediction(one: Prediction) -> dict[str, Any]:
    return {
        "source": one.table.source,
        "collective": one.table.collective,
        "ranks": one.table.ranks,
        "nodes": one.table.nodes,
        "wrong": one.table.wrong,
        "faults": list(one.table.faults),
        "a_s": one.model.a,
        "b_s": one.model.b,
        "c_s": one.model.c,
        "left_out_error": one.error,
        "points": [attrs.asdict(point) for point in one.table.points],
        "predicted": {str(nbytes): one.model.seconds(nbytes) for nbytes in _SIZES},
    }


def _of_choice(one: Choice) -> dict[str, Any]:
    told: Mapping[str, Any] = attrs.asdict(one, recurse=False)
    return {
        **{name: value for name, value in told.items() if name not in ("device", "step")},
        "device": one.device.name,
        "gpus": one.gpus,
        "kwh": one.kwh,
        "source": one.device.source,
        "step_s": [one.step.least_s, one.step.most_s],
    }
