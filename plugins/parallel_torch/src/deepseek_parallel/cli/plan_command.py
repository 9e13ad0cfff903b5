"""`ds-sdk train plan`: the fastest meshes for a model on a cluster, by a model of both."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import console, errors, training
from deepseek_parallel.cli.ranking import print_ranking, ranking_facts
from deepseek_parallel.cli.report import facts, print_plans
from deepseek_parallel.planning import described
from deepseek_parallel.planning.cluster import GPUS, Cluster
from deepseek_parallel.planning.estimate import Problem
from deepseek_parallel.planning.model import MODELS, Transformer
from deepseek_parallel.planning.search import Wanted, search
from deepseek_parallel.planning.stack import stack_profile
from deepseek_parallel.planning.training import ASSUMED, DTYPES, RECOMPUTE, Training

EXAMPLES: Final = """examples:
  ds-sdk train plan --model 175b --cluster a100-80g:8 --batch 64 --sequence-parallel
  ds-sdk train plan --model 175b --cluster a100-80g:8 --batch 64 --tp 8 --pp 8 --recompute full
  ds-sdk train plan --model 22b --cluster a100-80g:1,h100-80g:1 --batch 64 --sequence-parallel
  ds-sdk train plan --model 22b --cluster a100-80g:1 --batch 64 --strategies
  ds-sdk train plan --model model.toml --cluster cluster.toml --batch 1024 --json

All figures are of a model, with the efficiencies that it assumes: nothing is measured, and no GPU
is needed. Communication is not hidden behind computation.

exit codes: 0 done, 1 no mesh has enough memory, 2 wrong input or a mesh that does not fit"""
_SIZES: Final = {
    "dp": "replicas of the model",
    "tp": "ranks that share each layer, inside of a node",
    "pp": "stages of the pipeline",
    "micro": "sequences in a microbatch",
    "interleave": "chunks of layers on a stage",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", metavar="NAME|FILE", help=f"{', '.join(MODELS)}, or a TOML file")
    for field in attrs.fields(Transformer):
        parser.add_argument(
            f"--{field.name}", type=int, metavar="N", help=f"{field.name} of the model"
        )
    parser.add_argument(
        "--cluster",
        required=True,
        metavar="GPU:NODES,...|FILE",
        help=f"nodes of {', '.join(GPUS)}, or a TOML file",
    )
    parser.add_argument(
        "--batch", required=True, type=int, metavar="N", help="sequences in a step, of all replicas"
    )
    parser.add_argument(
        "--recompute",
        choices=RECOMPUTE,
        default="selective",
        help="activations that the backward pass computes again (default: selective)",
    )
    parser.add_argument(
        "--sequence-parallel", action="store_true", help="norms and dropout are shared by tp too"
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, default="bf16", help="of the products (default: bf16)"
    )
    parser.add_argument(
        "--compress",
        type=float,
        metavar="SHARE",
        help="of the gradients, exchanged as CompressedSGD does, without its own computation",
    )
    for name, what in _SIZES.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{what} (default: all)")
    parser.add_argument(
        "--top", type=int, default=5, metavar="N", help="how many meshes to show (default: 5)"
    )
    parser.add_argument(
        "--strategies",
        action="store_true",
        help="rank what each strategy of all plugins makes of it",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the meshes; 1 if none has enough memory.

    Raises:
        ConfigError: a file or an option that can't be read.
        InputError: figures that can't be, or a mesh that does not fit.
    """
    for name in ("batch", "top", *_SIZES):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise errors.ConfigError(
                f"--{name} is {value}", remedy=f"give a whole number of 1 or more: --{name} 1"
            )
    problem = Problem(
        model=_model(args),
        cluster=_cluster(args.cluster),
        training=Training(
            batch=args.batch,
            recompute=args.recompute,
            sequence_parallel=args.sequence_parallel,
            dtype=args.dtype,
            compress=args.compress,
        ),
        assumed=ASSUMED,
    )
    plans = search(problem, Wanted(**{name: getattr(args, name) for name in _SIZES}))
    ranking = training.ranked(stack_profile(problem), problem.cluster) if args.strategies else None
    if args.json:
        told = facts(problem, plans, args.top)
        console.print_json(told | (ranking_facts(ranking) if ranking else {}), indent=1)
    else:
        print_plans(problem, plans, args.top)
        if ranking:
            print_ranking(ranking)
    return 0 if plans.fitting else 1


def _model(args: argparse.Namespace) -> Transformer:
    """The model of a name or a file; options win."""
    names = [field.name for field in attrs.fields(Transformer)]
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    if args.model is None:
        return described.model_of(given, "the command line")
    if not _is_file(args.model):
        return attrs.evolve(described.named_model(args.model), **given)
    return described.model_of(_read(args.model) | given, args.model)


def _cluster(text: str) -> Cluster:
    if not _is_file(text):
        return described.named_cluster(text)
    return described.cluster_of(_read(text), text)


def _is_file(text: str) -> bool:
    return text.endswith(".toml") or "/" in text


def _read(path: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        why = error.strerror or str(error)
        raise errors.ConfigError(
            f"{path} can't be read: {why}", remedy="give the path of a TOML file"
        ) from error
    except ValueError as error:
        raise errors.ConfigError(
            f"{path} is not TOML: {error}", remedy="correct it at that place"
        ) from error
