"""`ds-sdk store explain`: where an object is stored, in which code, why, and what happens next."""

from __future__ import annotations

import argparse
from typing import Final

from deepseek_store.cli.common import Command, add_home, add_json, open_store, tell

_EXAMPLES: Final = """examples:
  ds-sdk store explain data runs/7/model.onnx
  ds-sdk store explain data runs/7/model.onnx --json"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    parser.add_argument("key", metavar="KEY")
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        found = store.maintenance.explain(args.key)
    tell(found.to_json(), "\n".join(found.sentences()), as_json=args.json)
    return 0


COMMANDS: Final = {
    "explain": Command(add_arguments=_add_arguments, run=_run, examples=_EXAMPLES),
}
