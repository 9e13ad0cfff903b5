"""`ds-sdk trt build`: an engine and its manifest in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from deepseek_core import console, errors
from deepseek_trt.artifact import save
from deepseek_trt.backends.find import NAMES
from deepseek_trt.building.build import build
from deepseek_trt.building.engine import Engine
from deepseek_trt.cache.engines import LIMIT_NBYTES
from deepseek_trt.cli.common import (
    add_cache,
    add_compute,
    add_json,
    add_model,
    cache_of,
    check_name,
    profiles_of,
    targets_of,
    tell,
)
from deepseek_trt.options import BuildOptions
from deepseek_trt.problem import printable

EXAMPLES: Final = """examples:
  ds-sdk trt build model.onnx -o engines --compute 8.6
  ds-sdk trt build model.onnx -o engines --compute 8.6,8.9 --profile x=1x3x224x224:8x..:32x..
  ds-sdk trt build model.onnx -o engines --compute 8.0 --workspace 2G --time-limit 600 --no-cache

The engine is built in a process of its own, which Ctrl-C and --time-limit end. A second build of
the same model for the same GPUs takes it from the cache. The engine computes in the types of the
model: convert the model for FP16 or BF16, quantize it for INT8. Beside NAME.engine lies
NAME.engine.json, which says who can run it.
exit codes: 0 done, 1 refused or failed, 2 wrong arguments or input, 130 Ctrl-C"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model(parser)
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="where it goes")
    add_compute(parser, required=True)
    parser.add_argument(
        "--backend", choices=NAMES, help="who builds it (default: tensorrt, else tensorrt_rtx)"
    )
    parser.add_argument("--name", metavar="NAME", help="of the files (default: that of the model)")
    parser.add_argument(
        "--workspace",
        type=console.nbytes_of,
        default=0,
        metavar="SIZE",
        help="scratch memory on the GPU",
    )
    parser.add_argument(
        "--time-limit",
        type=console.seconds_of,
        default=1800.0,
        metavar="S",
        help="seconds that a build may take (default: 1800)",
    )
    parser.add_argument("--no-tf32", action="store_true", help="FP32 products with all their bits")
    parser.add_argument("--sparse-weights", action="store_true", help="use 2:4 sparse weights")
    parser.add_argument(
        "--force", action="store_true", help="build what only our rules refuse, and note it"
    )
    add_cache(parser)
    parser.add_argument(
        "--cache-limit",
        type=console.nbytes_of,
        default=LIMIT_NBYTES,
        metavar="SIZE",
        help="above it, engines not used for longest go (default: 8G)",
    )
    parser.add_argument("--no-cache", action="store_true", help="neither look there nor keep it")
    add_json(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Build the engine, or take it from the cache, and write it."""
    options = BuildOptions(
        targets=targets_of(args),
        profiles=profiles_of(args),
        tf32=not args.no_tf32,
        sparse_weights=args.sparse_weights,
        workspace_nbytes=args.workspace,
        time_limit_s=args.time_limit,
    )
    if args.no_cache and args.cache:
        raise errors.ConfigError("--no-cache and --cache exclude each other", remedy="drop one")
    name = check_name(args.name or Path(args.model).stem)
    engine = _built(args, options)
    path = save(engine, Path(args.output), name)
    _tell(args, engine, path)
    return 0


def _built(args: argparse.Namespace, options: BuildOptions) -> Engine:
    cache = None if args.no_cache else cache_of(args)
    if cache is not None:
        cache.limit_nbytes = args.cache_limit
    with console.ProgressReporter("build", quiet=args.quiet) as progress:

        def told(spent_s: float, text: str) -> None:
            progress(int(spent_s), None, f"s: {printable(text)[:90]}")

        return build(
            args.model,
            options,
            backend=args.backend,
            cache=cache,
            force=args.force,
            progress=told,
        )


def _tell(args: argparse.Namespace, engine: Engine, path: Path) -> None:
    manifest = engine.manifest
    facts = {
        "engine": str(path),
        "from_cache": engine.from_cache,
        "notes": list(engine.notes),
        "log": engine.log,
        "manifest": manifest.to_json(),
    }
    source = "from the cache" if engine.from_cache else "built"
    what = "NO ENGINE (simulated)" if manifest.simulated else "engine"
    lines = [*(f"note: {note}" for note in engine.notes)]
    lines += [f"warning: {printable(warning)}" for warning in manifest.warnings]
    lines.append(
        f"{what} {source}: {path} ({console.format_bytes(manifest.nbytes)}) by "
        f"{manifest.flavor} {manifest.version} for {', '.join(manifest.targets)}"
    )
    tell(facts, "\n".join(lines), as_json=args.json)
