"""The entry point of `ds-sdk`: finds the command, runs it, turns errors into sentences.

A command is a module with `SUMMARY`, `EXAMPLES`, `add_arguments(parser)` and
`run(args) -> int`.

Exit codes: 0 done, 1 the work failed, 2 wrong arguments, input or configuration,
130 stopped by Ctrl-C, 141 the reader of a pipe went away.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

from deepseek_core.cli.answer import begin_answer, flush, print_lines, share_answer
from deepseek_core.cli.collecting import begin_start, end_start
from deepseek_core.cli.parser import CommandParser
from deepseek_core.cli.reporting import (
    end_answer,
    exit_code,
    occupy_closed_descriptors,
    plain_warnings,
    reader_left,
    report,
    tell_of_idle_switches,
)
from deepseek_core.contracts.errors import ConfigError, DeepSeekError, Interrupted
from deepseek_core.discovery.strangers import one_line, raise_if_ours, text_of
from deepseek_core.discovery.switch_table import SWITCHES, SwitchNames, flags_given
from deepseek_core.discovery.telemetry import telemetry_off

if TYPE_CHECKING:
    from deepseek_core.contracts.command import CommandSpec
    from deepseek_core.discovery.registry import Registered, Registry

# name -> (module of this package, one line for --help, which imports none of them)
COMMANDS: Final = {
    "run": ("run_command", "run a model on data and say what ran where"),
    "plan": (
        "plan_command",
        "show where each stage would run, how fast, how sure that is, and why",
    ),
    "explain": (
        "explain_command",
        "measure, plan and run a model once, then say why it runs where it runs",
    ),
    "calibrate": (
        "calibrate_command",
        "measure each stage on each device; later plans know the costs",
    ),
    "costs": ("costs_command", "export, import or compare measured costs"),
    "bench": ("bench_command", "measure every placement and every single device side by side"),
    "schedule": (
        "schedule_command",
        "place a task graph on devices: makespan or rate, bound, gap, Gantt chart",
    ),
    "simulate": ("simulate_command", "replay a trace of arrivals through the online scheduler"),
    "demo": (
        "demo_command",
        "visual search on this machine's devices: plan, reasons, figures, a page",
    ),
    "devices": ("devices_command", "list the devices that plugins find"),
    "list-plugins": ("plugins_command", "list plugins with status, reason and remedy"),
    "plugin-info": ("plugin_info_command", "everything about one plugin"),
    "plugins": (
        "plugins_admin_command",
        "switch plugins on and off; bring a set of them to another environment",
    ),
    "config": ("config_command", "show each switch, its value and where that came from"),
    "doctor": ("doctor_command", "check this installation and say what to fix"),
    "check-plugin": ("check_plugin_command", "run the conformance rules on a plugin"),
    "new-plugin": (
        "new_plugin_command",
        "make a plugin that works and keeps every promise of its kind",
    ),
}

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# They show every name that means nothing, those of the configuration file too.
_TELL_OF_SWITCHES: Final = {"config", "doctor", "list-plugins"}

_EXAMPLES: Final = """examples:
  ds-sdk demo                                  see it work
  ds-sdk devices                               what this machine offers
  ds-sdk plan model.onnx                       what would run where, and why
  ds-sdk run model.onnx --input batch.npz      run it
  ds-sdk list-plugins --status broken          what is wrong with plugins

Plugins add commands of their own; ds-sdk list-plugins --kind command shows them.
A flag beats its variable (--no-plugins: DEEPSEEK_NO_PLUGINS=1), which beats the configuration
file; ds-sdk config show tells each value and where it came from.
exit codes: 0 done, 1 the work failed, 2 wrong arguments, input or configuration, 130 Ctrl-C"""


class Command(Protocol):
    """What a command's module looks like."""

    SUMMARY: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ds-sdk` with these arguments, `sys.argv` by default, and return the exit code.

    Without `argv`, this is the whole program: stdout has its answer and nothing more.
    """
    if argv is not None:
        return _main(argv)
    begin_start()
    words = sys.argv[1:]
    occupy_closed_descriptors()
    begin_answer(words)
    code = _main(words)
    end_answer(code)
    end_start()
    return code


def _main(argv: Sequence[str]) -> int:
    words = list(argv)
    debug = "--debug" in words
    occupy_closed_descriptors()
    if sys.stderr is None:  # closed by the caller: what is printed to it would go to stdout
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
    restore = plain_warnings()
    try:
        code = _code(words)
        flush()
        return code
    except BrokenPipeError:
        return reader_left()
    except KeyboardInterrupt as stop:
        return report(Interrupted(" ".join(["stopped by Ctrl-C", *map(text_of, stop.args)])), debug)
    except BaseException as error:  # noqa: BLE001 - the last line of defense: a sentence
        return report(error, debug)
    finally:
        restore()


def _code(words: list[str]) -> int:
    try:
        with telemetry_off():
            return _dispatch(words)
    except SystemExit as leaving:  # argparse, after --help or --version; or a plugin's command
        return exit_code(leaving)


def _dispatch(words: list[str]) -> int:
    options, name, rest = _split(words)
    parser = _top_parser()
    given = parser.parse_args(options)
    if name is None:
        parser.print_help()
        return 0
    with flags_given(_flags(given)):
        if name not in _TELL_OF_SWITCHES:
            tell_of_idle_switches()
        if name in COMMANDS:
            return _run_own(name, rest)
        return _run_plugins(name, [word for word in rest if word != "--debug"])


def _flags(given: argparse.Namespace) -> dict[str, str]:
    """The switches given as flags, as their variables have them."""
    found: dict[str, str] = {}
    for switch in SWITCHES:
        value = getattr(given, switch.name)
        if isinstance(value, list):
            value = ",".join(value)
        if value is not None and not value.strip():
            raise ConfigError(f"{switch.flag} is empty", remedy=f"{switch.flag} {switch.metavar}")
        if value is not None:
            found[switch.name] = value
    return found


def _split(words: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Options before the command, the command, and what is its own."""
    takes_value = {switch.flag for switch in SWITCHES if switch.metavar}
    index = 0
    while index < len(words) and words[index].startswith("-"):
        index += 2 if words[index] in takes_value else 1
    return words[:index], next(iter(words[index : index + 1]), None), words[index + 1 :]


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS)) + 2
    commands = "\n".join(f"  {name:{width}}{line}" for name, (_, line) in COMMANDS.items())
    parser = CommandParser(
        prog="ds-sdk",
        usage="ds-sdk [--debug] [SWITCH ...] COMMAND ...",
        description="Places work on whatever hardware is plugged in, and says why.",
        epilog=f"commands (ds-sdk COMMAND --help explains one):\n{commands}\n\n{_EXAMPLES}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    _add_debug(parser)
    switches = parser.add_argument_group("switches of plugins, before the command")
    for names in SWITCHES:
        _add_switch(switches, names)
    return parser


def _add_switch(group: argparse._ArgumentGroup, names: SwitchNames) -> None:
    if names.metavar is None:
        group.add_argument(
            names.flag, dest=names.name, action="store_const", const="1", help=names.help
        )
    else:
        several = "append" if names.is_of_names else "store"
        group.add_argument(
            names.flag, dest=names.name, action=several, metavar=names.metavar, help=names.help
        )


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from deepseek_core.discovery.installed import core_version

        python = ".".join(map(str, sys.version_info[:3]))
        print_lines(f"ds-sdk {core_version()} (Python {python})")
        parser.exit()


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _run_own(name: str, rest: list[str]) -> int:
    from importlib import import_module

    command = cast(Command, import_module(f"deepseek_core.cli.{COMMANDS[name][0]}"))
    parser = CommandParser(
        prog=f"ds-sdk {name}",
        description=command.SUMMARY,
        epilog=command.EXAMPLES,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    _add_debug(parser)
    return command.run(parser.parse_args(rest))


def _run_plugins(name: str, rest: list[str]) -> int:
    """Run a plugin's command; a built-in of the same name has been taken before."""
    from deepseek_core.discovery.current import current_plugins
    from deepseek_core.discovery.registry import load_locator

    registry = current_plugins()
    found = next((c for c in registry.commands if c.record.name == name), None)
    if found is None:
        raise _unknown(name, registry)
    if not found.usable:
        raise ConfigError(f"command {name!r} {found.reason}", remedy=found.remedy)
    if not found.ours:
        from deepseek_core.discovery.remembered import remember

        remember(name, found.plugin, found.dist)
        share_answer()
    locator = found.record.main
    function: Callable[[list[str]], object] = load_locator(
        locator, plugin=found.plugin, dist=found.dist
    )
    end_start()
    return _call(function, rest, found)


def _call(
    function: Callable[[list[str]], object], rest: list[str], found: Registered[CommandSpec]
) -> int:
    try:
        code = function(rest)
    except (DeepSeekError, BrokenPipeError, SystemExit):
        raise
    except BaseException as error:
        from deepseek_core.discovery.faults import other_system
        from deepseek_core.discovery.installing import update_command

        raise_if_ours(error)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:  # as of stdout into a file
            raise
        raise DeepSeekError(
            f"command {found.record.name!r} of plugin {found.plugin!r} failed: {one_line(error)}",
            remedy=other_system(error) or f"run it with --debug, or {update_command(found.dist)}",
        ) from error
    return code if isinstance(code, int) else 0


def _unknown(name: str, registry: Registry) -> ConfigError:
    from deepseek_core.discovery.offers import COMMANDS as OURS
    from deepseek_core.discovery.offers import how_to_get
    from deepseek_core.discovery.remembered import contested, how_to_get_back, of_switched_off
    from deepseek_core.discovery.status import FAULTS
    from deepseek_core.discovery.switches import suggestion

    known = [*COMMANDS, *(command.record.name for command in registry.commands)]
    faults = sum(row.status in FAULTS for row in registry.plugins)
    hint = f"{faults} plugins failed to load: ds-sdk list-plugins" if faults else "ds-sdk --help"
    close = suggestion(name, known)
    rows = registry.plugins
    found = contested(name, rows) or how_to_get(name, OURS, rows) or how_to_get_back(name, rows)
    if found is None:
        found = ("", close) if close else of_switched_off(rows)
    why, remedy = found or ("", hint)
    reason = "; ".join(filter(None, (f"there is no command {name!r}", why)))
    return ConfigError(reason, remedy=remedy or hint)
