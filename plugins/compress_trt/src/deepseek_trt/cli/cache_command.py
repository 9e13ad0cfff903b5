"""`ds-sdk trt cache`: the engines that are kept."""

from __future__ import annotations

import argparse
import time
from typing import Final

from deepseek_core import console
from deepseek_trt.cache.engines import EngineCache, Kept
from deepseek_trt.cli.common import add_cache, add_json, cache_of, tell

EXAMPLES: Final = """examples:
  ds-sdk trt cache list
  ds-sdk trt cache list --json
  ds-sdk trt cache clear

Above 8 GiB, the engines that were not used for longest are removed automatically. `clear` leaves
those that are being built."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=("list", "clear"), metavar="list|clear", help="what to do")
    add_cache(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List the engines, or remove them."""
    cache = cache_of(args)
    cache.open()
    if args.what == "list":
        return _list(cache, args.json)
    removed = cache.clear()
    text = f"{removed} engine{'' if removed == 1 else 's'} removed from {cache.folder}"
    tell({"folder": str(cache.folder), "removed": removed}, text, as_json=args.json)
    return 0


def _list(cache: EngineCache, as_json: bool) -> int:
    kept = cache.entries()
    facts = {
        "folder": str(cache.folder),
        "nbytes": sum(each.nbytes for each in kept),
        "engines": [{"used_s": each.used_s, **each.manifest.to_json()} for each in kept],
    }
    tell(facts, _table(cache, kept), as_json=as_json)
    return 0


def _table(cache: EngineCache, kept: list[Kept]) -> str:
    if not kept:
        return f"no engines in {cache.folder}"
    rows = [
        (
            each.manifest.key[:12],
            f"{each.manifest.flavor} {each.manifest.version}",
            ",".join(each.manifest.targets),
            console.format_bytes(each.nbytes),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(each.used_s)),
        )
        for each in kept
    ]
    table = console.render_table(("KEY", "BY", "FOR", "SIZE", "LAST USED"), rows)
    total = console.format_bytes(sum(each.nbytes for each in kept))
    return f"{table}\n{len(kept)} in {cache.folder}, {total}"
