"""`ds-sdk store COMMAND HOME ...`: finds the command, imports its module alone, and runs it.

A command's module has `COMMANDS`, from names to `Command` records; `open_store` and what else they
share is in `common`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from deepseek_core import console, errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepseek_store.cli.common import Command

# name -> (module of this package, one line for --help, which imports none of them)
COMMANDS: Final = {
    "init": ("init_command", "make a store in an empty folder, over the tiers that you name"),
    "set": ("set_command", "change what you decided about a store, or show it"),
    "put": ("put_command", "store a file, a folder, or what comes from a pipe"),
    "get": ("get_command", "fetch an object, a part of one, or all below a prefix"),
    "ls": ("ls_command", "list objects, folder by folder or all below a prefix"),
    "rm": ("change_commands", "delete objects"),
    "cp": ("change_commands", "give an object a second key; no byte is copied"),
    "mv": ("change_commands", "give an object another key"),
    "stat": ("ls_command", "what is known of one object"),
    "explain": ("explain_command", "where an object lies, in which code, why, and what comes"),
    "plan": ("move_commands", "what should move now, and why; nothing is done"),
    "apply": ("move_commands", "carry out what should move now"),
    "pin": ("place_commands", "keep objects in a tier, whatever their temperature"),
    "unpin": ("place_commands", "let their temperature decide again"),
    "send": ("place_commands", "bring objects to a tier now"),
    "warm": ("place_commands", "bring objects up before a job needs them"),
    "snapshot": ("snapshot_commands", "keep all objects as they are now under a name"),
    "restore": ("snapshot_commands", "bring objects back as a snapshot has them"),
    "snapshots": ("snapshot_commands", "list snapshots"),
    "scrub": ("care_commands", "read and verify what is stored"),
    "repair": ("care_commands", "verify, and make anew what is damaged or missing"),
    "fsck": ("care_commands", "compare index, log and tiers; nothing is changed"),
    "gc": ("care_commands", "free the room of what nobody can see any more"),
    "adopt": ("adopt_command", "let this copy of a home have the store from now on"),
    "rebuild": ("care_commands", "make the index anew from the data alone"),
    "bench": ("bench_command", "measure this store beside its bare disk"),
    "status": ("status_command", "tiers, temperatures, cache, faults; as a page with --html"),
    "serve-metrics": ("serve_command", "serve counters and gauges in Prometheus' format"),
}

_EXAMPLES: Final = """examples:
  ds-sdk store init data --warm 'disks/warm?domains=12'   a store in the folder data
  ds-sdk store put data runs/7/model.onnx model.onnx      durable when it returns
  ds-sdk store get data runs/7/model.onnx - | sha256sum   verified when it arrives
  ds-sdk store explain data runs/7/model.onnx             where it lies, and why
  ds-sdk store status data --html status.html             a page of all of it

One process has a store open; with --shared, several may, if all do so.
exit codes: 0 done, 1 it failed or faults were found, 2 wrong arguments or input, 130 Ctrl-C"""


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk store` with these words and return the exit code."""
    words = list(argv)
    if not words or words[0].startswith("-"):
        _top_help(words)
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise errors.ConfigError(
            f"ds-sdk store has no command {name!r}", remedy=_suggestion(name) or "ds-sdk store"
        )
    command = find(name)
    parser = console.command_parser(
        f"store {name}",
        summary="\n".join([COMMANDS[name][1], *filter(None, [command.details])]),
        examples=command.examples,
    )
    command.add_arguments(parser)
    args = parser.parse_args(rest)
    from deepseek_store.cli.warnings import told_plainly

    with told_plainly():
        return command.run(args)


def find(name: str) -> Command:
    """The record of a command, from its module."""
    module = import_module(f"deepseek_store.cli.{COMMANDS[name][0]}")
    commands: Mapping[str, Command] = module.COMMANDS
    return commands[name]


def _top_help(words: Sequence[str]) -> None:
    width = max(map(len, COMMANDS)) + 2
    listed = "\n".join(f"  {name:{width}}{line}" for name, (_, line) in COMMANDS.items())
    parser = console.command_parser(
        "store",
        summary="One store over hot, warm and cold tiers: data moves by itself, and is never lost.",
        examples=f"commands (ds-sdk store COMMAND --help explains one):\n{listed}\n\n{_EXAMPLES}",
    )
    parser.usage = "ds-sdk store COMMAND HOME ..."
    parser.parse_args(words)
    parser.print_help()


def _suggestion(name: str) -> str | None:
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    return f"did you mean {close[0]!r}?" if close else None
