"""`ds-sdk store set`: what the user of a store decides, changed or shown."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from deepseek_core import console
from deepseek_store.cli.common import Command, add_home, add_json, tell
from deepseek_store.cli.settings import policy_of

_DETAILS: Final = (
    "What was written stays as it is and readable; new data follows the new policy, old data when\n"
    "it moves. Nobody may have the store open meanwhile."
)
_EXAMPLES: Final = """examples:
  ds-sdk store set data                                   show all settings
  ds-sdk store set data cache_nbytes=1G half_life_s=7d
  ds-sdk store set data codes.cold='lrc(12,2,2)' floor_nines.warm=9"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE")
    add_json(parser)


def _set(args: argparse.Namespace) -> int:
    from deepseek_store.home.config import StoreConfig
    from deepseek_store.store import Store

    policy = StoreConfig.load(Path(args.home)).policy
    if args.settings:
        policy = Store.configure(args.home, **policy_of(args.settings, policy).to_json())
    told = policy.to_json()
    rows = [(name, str(value)) for name, value in told.items()]
    tell({"policy": told}, console.render_table(("SETTING", "VALUE"), rows), as_json=args.json)
    return 0


COMMANDS: Final = {
    "set": Command(add_arguments=_add_arguments, run=_set, examples=_EXAMPLES, details=_DETAILS)
}
