"""What the commands of `ds-sdk trt` share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from deepseek_core import console, errors
from deepseek_trt.cache.engines import EngineCache
from deepseek_trt.problem import Problem, printable
from deepseek_trt.profile import Profile
from deepseek_trt.target import as_targets

_SHOWN: Final = 5


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model, its profiles and GPUs."""
    parser.add_argument("model", metavar="MODEL", help="an ONNX file")
    parser.add_argument(
        "--profile",
        metavar="X=MIN:OPT:MAX",
        action="append",
        default=[],
        help="shapes of an input that is not fixed, as x=1x3x224x224:8x..:32x.. (min:opt:max); of "
        "an input that holds sizes, values: n=@1:@4:@16",
    )


def add_compute(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Which GPUs it is for."""
    parser.add_argument(
        "--compute",
        metavar="M.N,M.N",
        required=required,
        help="compute capabilities of the GPUs, as 8.6,8.9",
    )


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Where engines are kept."""
    parser.add_argument(
        "--cache", metavar="FOLDER", help="where engines are kept (default: the SDK's cache)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Whether to print for a script."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def cache_of(args: argparse.Namespace) -> EngineCache:
    """The cache that the arguments name."""
    return EngineCache(Path(args.cache) if args.cache else None)


def profiles_of(args: argparse.Namespace) -> tuple[Profile, ...]:
    """The profiles that the arguments name."""
    return tuple(Profile.parse(text) for text in args.profile)


def targets_of(args: argparse.Namespace) -> tuple[str, ...]:
    """The compute capabilities that the arguments name; none if they don't."""
    return as_targets(args.compute) if args.compute else ()


def tell(facts: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print for a script, or for people."""
    if as_json:
        console.print_json(facts, indent=1)
    elif text:
        console.print_lines(text)


def problem_lines(problems: Sequence[Problem]) -> str:
    """Problems as people read them: those with one remedy together, a few of each."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.rule, problem.remedy), []).append(problem)
    lines = []
    for (_, remedy), group in groups.items():
        lines += [f"{each.level}: {printable(str(each))}" for each in group[:_SHOWN]]
        if len(group) > _SHOWN:
            lines.append(f"  and {len(group) - _SHOWN} more of this kind (--json has all)")
        lines.append(f"  fix: {printable(remedy)}")
    return "\n".join(lines)


def check_name(name: str) -> str:
    """A name for files.

    Raises:
        ConfigError: it would lead out of the folder.
    """
    if not name or name.startswith(".") or "/" in name or "\0" in name or len(name.encode()) > 200:
        raise errors.ConfigError(f"{name!r} is not a name for a file", remedy="--name model")
    return name
