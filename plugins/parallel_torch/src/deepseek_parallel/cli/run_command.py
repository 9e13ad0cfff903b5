"""`ds-sdk train run`: a recipe from its model to a report, on one process or several."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from deepseek_core import console, errors

EXAMPLES: Final = """examples:
  ds-sdk train run recipe.toml                          one process
  ds-sdk train run recipe.toml --nproc 4                four processes of this machine
  ds-sdk train run recipe.toml --elastic 1:4            up to four that may be lost and come back
  ds-sdk train run recipe.toml --elastic 2:8 --listen 10.0.0.5:4300 --nproc 2
                                                        two of them, and those of other machines
  ds-sdk train run recipe.toml --executor ray           one on each node of a Ray cluster
  ds-sdk train run recipe.toml --executor ray --address 10.0.0.5:6379 --nodes 4 --nproc 2
  ds-sdk train run recipe.toml --nproc 4 --strategy hybrid:tp=2,pp=2
  ds-sdk train run recipe.toml --set train.batch=64     another value for this run
  ds-sdk train run recipe.toml --dry-run                what it would do, without a step
  ds-sdk train run recipe.toml --nproc 2 --trace out/trace
  ds-sdk profile out/trace/*                            where the time of its steps went

Ctrl-C and SIGTERM end it after the step that runs, and save where the recipe has [checkpoint];
SIGUSR1 saves there and trains on (of Slurm: --signal=USR1@60).

exit codes: 0 done, 1 a worker or a step failed, 2 wrong input, 130 Ctrl-C"""
_BETWEEN: Final = re.compile(r",(?![^\[]*\])")
"""Commas that are not within a list."""
_VALUES: Final = (bool, int, float, str, list)
_SIGNALS: Final = ("Ctrl-C", "SIGTERM")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_shared(parser)
    parser.add_argument(
        "--resume", action="store_true", help="go on from the latest checkpoint, if there is one"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument(
        "--link", metavar="RATE[,LATENCY]",
        help="what ranks exchange by, for --dry-run: 100mbit,1ms (default: the loopback here)",
    )  # fmt: skip


def add_shared(parser: argparse.ArgumentParser) -> None:
    """Options of `run` and `resume`."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml", help="what to train, and how")
    parser.add_argument(
        "--nproc", type=int, metavar="N",
        help="processes of this machine (default: 1, and MAX with --elastic and no --listen)",
    )  # fmt: skip
    parser.add_argument(
        "--elastic", metavar="MIN:MAX", help="processes that may be lost, and are started again"
    )
    parser.add_argument(
        "--listen", metavar="HOST:PORT",
        help="with --elastic: where other machines join, by ds-sdk train join; port 0 is any",
    )  # fmt: skip
    parser.add_argument(
        "--executor", metavar="NAME",
        help="start it on the other nodes of a cluster too, by an executor that a plugin offers, "
        "such as ray; --nproc is that of each node (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--address", metavar="ADDRESS",
        help="where the executor's cluster is, such as 10.0.0.5:6379; default: its own setting",
    )  # fmt: skip
    parser.add_argument(
        "--nodes", type=int, metavar="N",
        help="with --executor: nodes that train, this one among them (default: all that are up)",
    )  # fmt: skip
    parser.add_argument(
        "--strategy", metavar="NAME[:KEY=VALUE,...]",
        help="what each process holds: ddp, fsdp, tp, pp, hybrid:tp=2,pp=2 or auto",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="change the recipe: train.batch=64",
    )  # fmt: skip
    parser.add_argument(
        "--trace", metavar="FOLDER", help="a trace of some steps, for ds-sdk profile FOLDER/*"
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Train; 130 if Ctrl-C ended it.

    Raises:
        ConfigError: a recipe or an option that can't be.
        RankFailed: a worker has failed.
    """
    from deepseek_parallel.trainer.recipe.read import read_recipe

    recipe = read_recipe(args.recipe, changes_of(args))
    if args.nproc is not None and args.nproc < 1:
        raise errors.ConfigError(
            f"--nproc must be 1 or more, got {args.nproc}", remedy="--nproc 4, or --elastic 1:4"
        )
    if args.listen is not None and not (args.elastic or args.executor):
        raise errors.ConfigError(
            "--listen is for workers that come and go", remedy="add --elastic 1:8"
        )
    _check_executor(args)
    _check_strategy(args, recipe)
    if args.link is not None and not args.dry_run:
        raise errors.ConfigError("--link is for a dry run alone", remedy="add --dry-run")
    if args.dry_run:
        from deepseek_parallel.cli.dry_run import print_plan

        return print_plan(recipe, args.nproc or 1, link=args.link, as_json=args.json)
    with console.ProgressReporter("train", quiet=not sys.stderr.isatty()) as show:
        report = _trained(args, recipe, show)
    if args.json:
        console.print_json(report, indent=1)
    else:
        _print(report, recipe)
    if report.get("stopped") in _SIGNALS:
        console.print_note(_how_to_resume(args, recipe))
        return 130
    return 0


def changes_of(args: argparse.Namespace) -> list[str]:
    """Changes of the recipe: those of --set, --trace, and --strategy in place of its table.

    Raises:
        ConfigError: a strategy that is not NAME:KEY=VALUE,...
    """
    changes = list(args.changes)
    if args.trace is not None:
        changes.append(f"trace.folder={json.dumps(args.trace)}")
    if args.strategy is None:
        return changes
    name, colon, rest = args.strategy.partition(":")
    pairs = [word.partition("=") for word in _BETWEEN.split(rest)] if colon else []
    if not name.strip() or not all(
        key.strip() and equals and value for key, equals, value in pairs
    ):
        raise errors.ConfigError(
            f"--strategy {args.strategy!r} is not NAME:KEY=VALUE,...",
            remedy="--strategy hybrid:tp=2,pp=2",
        )
    table = {"name": json.dumps(name.strip())}
    for key, _, value in pairs:
        table[key.strip()] = _as_toml(value)
    made = ", ".join(f"{key} = {value}" for key, value in table.items())
    return [*changes, f"strategy={{{made}}}"]


def _as_toml(text: str) -> str:
    """A value as TOML has it, if it is one; a word is a text."""
    try:
        is_value = isinstance(tomllib.loads(f"value = {text}")["value"], _VALUES)
    except ValueError:
        is_value = False
    return text if is_value else json.dumps(text)


def _check_executor(args: argparse.Namespace) -> None:
    for option, value in (("--address", args.address), ("--nodes", args.nodes)):
        if value is not None and args.executor is None:
            raise errors.ConfigError(
                f"{option} is that of an executor", remedy="add --executor ray"
            )
    if args.nodes is not None and args.nodes < 2:
        raise errors.ConfigError(
            f"--nodes counts this machine too: it must be 2 or more, got {args.nodes}",
            remedy="--nodes 2, or leave --executor out",
        )
    if args.executor is not None and args.dry_run:
        raise errors.ConfigError(
            "--dry-run is of this machine alone", remedy="leave --executor out"
        )


def _check_strategy(args: argparse.Namespace, recipe: Any) -> None:
    """Refuse before a process is started what they would all refuse."""
    from deepseek_parallel.trainer.choice import PLAIN, choice_of

    table = dict(recipe.get("strategy"))
    microbatch = recipe.get("train").get("microbatch")
    choice = choice_of(table.pop("name", PLAIN), table, microbatch)
    is_elastic = args.elastic or args.executor
    if choice is not None and is_elastic:
        choice.refuse_elastic()
    if choice is not None and args.nproc is not None and not is_elastic:
        choice.check_world(args.nproc)


def _trained(args: argparse.Namespace, recipe: Any, show: Any) -> dict[str, Any]:
    told = {"recipe": str(args.recipe), "changes": changes_of(args), "resume": args.resume}
    if args.executor:
        from deepseek_parallel.cli.on_nodes import train_on_nodes

        return train_on_nodes(args, recipe, told, show)
    if args.elastic:
        from deepseek_parallel.trainer.launch.elastic import train_elastic

        return train_elastic(
            recipe, told, args.elastic, show=show, nproc=args.nproc, listen=args.listen
        )
    if args.nproc and args.nproc > 1:
        from deepseek_parallel.trainer.launch.processes import train

        return train(told, args.nproc, show=show)
    from deepseek_parallel.trainer.recipe.build import build

    job = build(recipe)
    facts: dict[str, Any] = job.trainer.fit(**job.length, resume=args.resume, show=show).facts()
    return facts


def _print(report: dict[str, Any], recipe: Any) -> None:
    ranks = f"{report['ranks']} ranks" if report["ranks"] > 1 else "one rank"
    if report["mesh"]:
        ranks += f" ({', '.join(f'{axis} {size}' for axis, size in report['mesh'].items())})"
    resumed = f", resumed at step {report['resumed']}" if report["resumed"] is not None else ""
    epochs = f"{report['epochs']:.3g} {'epoch' if report['epochs'] == 1 else 'epochs'}"
    console.print_text(
        f"{report['steps']} steps, {report['samples']:,} samples, {epochs} on "
        f"{ranks}{resumed}; ended by: {report['stopped']}"
    )
    losses = report["losses"][-1:]
    rows = [
        *(("loss of the last step", f"{loss:.4g}") for loss in losses),
        *(
            (f"evaluated {name}", f"{value:.4g}")
            for _, found in report["evaluations"][-1:]
            for name, value in found.items()
        ),
    ]
    if report["ranks"] > 1:
        rows.append(("gradients on the wire", console.format_bytes(report["wire_nbytes"])))
        if report["saved"] > 0:
            rows.append(("saved of an all-reduce", f"{report['saved']:.1%}"))
    if report["checkpoints"]:
        rows.append(("checkpoints of steps", ", ".join(map(str, report["checkpoints"]))))
    if rows:
        console.print_table(("WHAT", "VALUE"), rows)
    folder = recipe.get("log").get("folder")
    if folder:
        console.print_lines(str(Path(folder) / "report.html"))


def _how_to_resume(args: argparse.Namespace, recipe: Any) -> str:
    if "url" not in recipe.get("checkpoint"):
        return "stopped; nothing was saved: the recipe has no [checkpoint] with a url"
    words = ["ds-sdk", "train", "resume", str(args.recipe)]
    words += ["--nproc", str(args.nproc)] if args.nproc else []
    words += ["--elastic", args.elastic] if args.elastic else []
    words += ["--listen", args.listen] if args.listen else []
    words += ["--executor", args.executor] if args.executor else []
    words += ["--address", args.address] if args.address else []
    words += ["--nodes", str(args.nodes)] if args.nodes else []
    words += ["--strategy", args.strategy] if args.strategy else []
    for change in args.changes:
        words += ["--set", change]
    return f"stopped and saved; go on by: {shlex.join(words)}"
