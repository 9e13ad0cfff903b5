"""The entry point of `ds-sdk`: finds the command, runs it, turns errors into sentences.

A command is a module with `NAME`, `SUMMARY`, `EXAMPLES`, `add_arguments(parser)` and
`run(args) -> int`.

Exit codes: 0 done, 1 the work failed, 2 wrong arguments, input or configuration,
130 stopped by Ctrl-C, 141 the reader of a pipe went away.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, cast

from deepseek_core.cli.table import terminal_width
from deepseek_core.contracts.errors import (
    ConfigError,
    DeepSeekError,
    GraphError,
    InputError,
    Interrupted,
)

if TYPE_CHECKING:
    from deepseek_core.contracts.command import CommandSpec
    from deepseek_core.discovery.registry import Registered, Registry

# name -> (module of this package, one line for --help, which imports none of them)
COMMANDS: Final = {
    "run": ("run_command", "run a model on data and say what ran where"),
    "plan": (
        "plan_command",
        "show where each stage would run, what each device would cost, and why",
    ),
    "calibrate": (
        "calibrate_command",
        "measure each stage on each device; later plans know the costs",
    ),
    "costs": ("costs_command", "export, import or compare measured costs"),
    "bench": ("bench_command", "measure every placement and every single device side by side"),
    "demo": (
        "demo_command",
        "visual search on this machine's devices: plan, reasons, figures, a page",
    ),
    "devices": ("devices_command", "list the devices that plugins find"),
    "list-plugins": ("plugins_command", "list plugins with status, reason and remedy"),
    "doctor": ("doctor_command", "check this installation and say what to fix"),
}

_EXAMPLES: Final = """examples:
  ds-sdk demo                                  see it work
  ds-sdk devices                               what this machine offers
  ds-sdk plan model.onnx                       what would run where, and why
  ds-sdk run model.onnx --input batch.npz      run it
  ds-sdk list-plugins --status broken          what is wrong with plugins

Plugins add commands of their own; ds-sdk list-plugins --kind command shows them.
DEEPSEEK_NO_PLUGINS=1 leaves all plugins out, DEEPSEEK_DISABLE_PLUGINS=NAME one of them.
exit codes: 0 done, 1 the work failed, 2 wrong arguments, input or configuration, 130 Ctrl-C"""


_RULE_OUT: Final = (
    "run it with --debug for the traceback; "
    "DEEPSEEK_NO_PLUGINS=1 or DEEPSEEK_DISABLE_PLUGINS=NAME rules plugins out"
)


class Command(Protocol):
    """What a command's module looks like."""

    NAME: str
    SUMMARY: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit code."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Knows its width: to find it out, argparse would import `shutil` at each option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=terminal_width() or 80)


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument like every other error."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, remedy=f"{self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ds-sdk` with these arguments, `sys.argv` by default, and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    restore = _plain_warnings()
    try:
        code = _code(words)
        if sys.stdout is not None:  # as under a supervisor that closed it
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _reader_left()
    except KeyboardInterrupt:
        return _report(Interrupted("stopped by Ctrl-C"), debug)
    except Exception as error:  # noqa: BLE001 - the last line of defense: a sentence, no traceback
        return _report(error, debug)
    finally:
        restore()


def _code(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except SystemExit as leaving:  # argparse, after --help or --version; or a plugin's command
        return _exit_code(leaving)


def _dispatch(words: list[str]) -> int:
    options, name, rest = _split(words)
    parser = _top_parser()
    parser.parse_args(options)
    if name is None:
        parser.print_help()
        return 0
    if name in COMMANDS:
        return _run_own(name, rest)
    return _run_plugins(name, [word for word in rest if word != "--debug"])


def _split(words: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Options before the command, the command, and what is its own."""
    for index, word in enumerate(words):
        if not word.startswith("-"):
            return words[:index], word, words[index + 1 :]
    return words, None, []


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS)) + 2
    commands = "\n".join(f"  {name:{width}}{line}" for name, (_, line) in COMMANDS.items())
    parser = _Parser(
        prog="ds-sdk",
        usage="ds-sdk [--debug] COMMAND ...",
        description="Places work on whatever hardware is plugged in, and says why.",
        epilog=f"commands (ds-sdk COMMAND --help explains one):\n{commands}\n\n{_EXAMPLES}",
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    _add_debug(parser)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from deepseek_core.discovery.scan import core_version

        python = ".".join(map(str, sys.version_info[:3]))
        print(f"ds-sdk {core_version()} (Python {python})")
        parser.exit()


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _run_own(name: str, rest: list[str]) -> int:
    from importlib import import_module

    command = cast(Command, import_module(f"deepseek_core.cli.{COMMANDS[name][0]}"))
    parser = _Parser(
        prog=f"ds-sdk {name}",
        description=command.SUMMARY,
        epilog=command.EXAMPLES,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    _add_debug(parser)
    return command.run(parser.parse_args(rest))


def _run_plugins(name: str, rest: list[str]) -> int:
    """Run a plugin's command; a built-in of the same name has been taken before."""
    from deepseek_core.discovery.loader import discover
    from deepseek_core.discovery.registry import load_locator

    registry = discover()
    found = next((c for c in registry.commands if c.record.name == name), None)
    if found is None:
        raise _unknown(name, registry)
    if not found.usable:
        raise ConfigError(f"command {name!r} {found.reason}", remedy=found.remedy)
    locator = found.record.main
    function: Callable[[list[str]], object] = load_locator(
        locator, plugin=found.plugin, dist=found.dist
    )
    return _call(function, rest, found)


def _call(
    function: Callable[[list[str]], object], rest: list[str], found: Registered[CommandSpec]
) -> int:
    try:
        code = function(rest)
    except (DeepSeekError, BrokenPipeError):
        raise
    except Exception as error:
        raise DeepSeekError(
            f"command {found.record.name!r} of plugin {found.plugin!r} failed: {_line(error)}",
            remedy=f"run it with --debug, or pip install -U {found.dist}",
        ) from error
    return code if isinstance(code, int) else 0


def _unknown(name: str, registry: Registry) -> ConfigError:
    from deepseek_core.discovery.status import FAULTS
    from deepseek_core.discovery.switches import suggestion

    known = [*COMMANDS, *(command.record.name for command in registry.commands)]
    faults = sum(row.status in FAULTS for row in registry.plugins)
    hint = f"{faults} plugins failed to load: ds-sdk list-plugins" if faults else "ds-sdk --help"
    remedy = suggestion(name, known)
    return ConfigError(f"there is no command {name!r}", remedy=remedy or hint)


def _report(error: BaseException, debug: bool) -> int:
    """One sentence and what to do about it, on stderr."""
    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, DeepSeekError):
        _say("error", error.message)
        _say("fix", error.remedy)
        return _code_of(error)
    _say("error", f"unexpected {_line(error)}")
    _say("fix", _RULE_OUT)
    return 1


def _code_of(error: DeepSeekError) -> int:
    if isinstance(error, Interrupted):
        return 130
    return 2 if isinstance(error, ConfigError | InputError | GraphError) else 1


def _say(label: str, text: str | None) -> None:
    if text:
        print(f"{label}: {text}", file=sys.stderr)


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _exit_code(leaving: SystemExit) -> int:
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    _say("error", str(leaving.code))
    return 1


def _reader_left() -> int:
    # What is still in the buffer would raise once more when Python leaves.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _plain_warnings() -> Callable[[], None]:
    """Print warnings as a sentence, without file, line and source; returns what undoes that."""
    import warnings

    # Of deprecations, Python shows only those of the main script unless it is told to.
    warnings.filterwarnings("default", "plugin '", DeprecationWarning)
    usual = warnings.formatwarning

    def sentence(message: Warning | str, *_: object, **__: object) -> str:
        return f"warning: {message}\n"

    def restore() -> None:
        warnings.formatwarning = usual

    warnings.formatwarning = cast("Callable[..., str]", sentence)
    return restore
