"""`ds-sdk store COMMAND HOME ...`: finds the command, imports its module alone, and runs it.

A command's module has `COMMANDS`, from names to `Command` records; `open_store` and what else they
share is in `common`.
"""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from typing import TYPE_CHECKING, Final

from deepseek_core import console, errors

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from deepseek_store.cli.common import Command

_HOME: Final = re.compile(r"\b(ds-sdk store [a-z-]+) HOME\b")

# name -> (module of this package, one line for --help, which imports none of them)
COMMANDS: Final = {
    "init": ("init_command", "make a store in an empty folder, over the tiers that you name"),
    "set": ("set_command", "change what you decided about a store, or show it"),
    "add-tier": ("init_command", "give a store more places for what is warm or cold"),
    "put": ("put_command", "store files, folders, or what comes from a pipe"),
    "get": ("get_command", "fetch objects and folders, or a part of an object"),
    "cat": ("cat_command", "write objects to stdout, or parts of them"),
    "sync": ("sync_command", "make a folder here and one in the store the same, either way"),
    "ls": ("ls_command", "list objects and folders"),
    "du": ("du_command", "how much each folder holds"),
    "rm": ("rm_command", "delete objects and folders"),
    "cp": ("link_commands", "give objects and folders a second key; no byte is copied"),
    "mv": ("link_commands", "give objects and folders another key"),
    "stat": ("ls_command", "what is known of one object"),
    "explain": (
        "explain_command",
        "where an object is stored, in which code, why, and what happens next",
    ),
    "plan": ("move_commands", "what should move now, and why; nothing is done"),
    "apply": ("move_commands", "carry out what should move now"),
    "pin": ("place_commands", "keep objects in a tier, however often they are read"),
    "unpin": ("place_commands", "let usage decide again"),
    "send": ("place_commands", "bring objects to a tier now: --tier hot before a job"),
    "snapshot": ("snapshot_commands", "keep all objects as they are now under a name"),
    "restore": ("snapshot_commands", "restore objects as they were in a snapshot"),
    "snapshots": ("snapshot_commands", "list snapshots"),
    "scrub": ("care_commands", "read and verify what is stored"),
    "repair": ("care_commands", "verify, and rewrite what is damaged or missing"),
    "fsck": ("care_commands", "compare index, log and tiers; nothing is changed"),
    "gc": ("care_commands", "reclaim space of deleted data"),
    "adopt": ("adopt_command", "make this copy of a home the owner of the store"),
    "rebuild": ("care_commands", "rebuild the index from the data alone"),
    "bench": ("bench_command", "measure this store beside its bare disk"),
    "status": ("status_command", "tiers, heat, cache, faults; as a page with --html"),
    "serve-metrics": ("serve_command", "serve counters and gauges in Prometheus' format"),
    "completion": ("completion_command", "print what completes commands and keys in your shell"),
}

# Taken, and not shown: an old word, and what the scripts of `completion` ask.
HIDDEN: Final = {
    "warm": ("place_commands", "bring objects to the hot tier: now `send --tier hot`"),
    "complete": ("completion_command", "what may come next on a command line"),
}

_EXAMPLES: Final = """examples:
  ds-sdk store init data --warm 'disks/warm?domains=12'   a store in the folder data
  ds-sdk store put data runs/7/model.onnx model.onnx      durable when it returns
  ds-sdk store get data runs/7/model.onnx - | sha256sum   verified when it arrives
  ds-sdk store explain data runs/7/model.onnx             where it lies, and why
  ds-sdk store status data --html status.html             a page of all of it

Commands share a store: they work while other processes have it open with shared=True or ds://.
exit codes: 0 all done, 1 it failed, in part too, or faults were found, 2 wrong arguments or input,
130 Ctrl-C, 141 the reader of a pipe went away"""


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk store` with these words and return the exit code."""
    group = console.CommandGroup(
        name="store",
        package="deepseek_store.cli",
        commands=COMMANDS,
        summary="One store over hot, warm and cold tiers. Data moves automatically between them.",
        examples=_EXAMPLES,
        hidden=tuple(HIDDEN),
        words="HOME ...",
    )
    chosen = group.chosen(argv)
    if chosen is None:
        return 0
    name, rest = chosen
    command = find(name)
    args = parser_of(name, command).parse_intermixed_args(rest)
    from deepseek_store.cli.warnings import told_plainly

    try:
        with told_plainly():
            return command.run(args)
    except errors.DeepSeekError as error:
        _name_home(error, getattr(args, "home", None))
        raise


def parser_of(name: str, command: Command) -> argparse.ArgumentParser:
    """The parser of a command."""
    _, summary = COMMANDS.get(name) or HIDDEN[name]
    parser = console.command_parser(
        f"store {name}",
        summary="\n".join([summary, *filter(None, [command.details])]),
        examples=command.examples,
    )
    command.add_arguments(parser)
    return parser


def _name_home(error: errors.DeepSeekError, home: str | None) -> None:
    """What is to be typed names the store itself: HOME is known here."""
    if home and error.remedy:
        named = _HOME.sub(lambda found: f"{found[1]} {shlex.quote(home)}", error.remedy)
        error.remedy = named


def find(name: str) -> Command:
    """The record of a command, from its module."""
    module = import_module(f"deepseek_store.cli.{(COMMANDS.get(name) or HIDDEN[name])[0]}")
    commands: Mapping[str, Command] = module.COMMANDS
    return commands[name]
