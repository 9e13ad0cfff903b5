"""Groups of commands that a plugin adds: `ds-sdk GROUP COMMAND ...`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

import attrs

from deepseek_core.cli.parser import CommandParser, command_parser
from deepseek_core.contracts.errors import ConfigError


@attrs.frozen(kw_only=True)
class CommandGroup:
    """The commands of a group: each has a module and a line for `--help`, which imports none.

    A command's module stands in `package` and has `EXAMPLES`, `add_arguments(parser)` and
    `run(args)`, which returns the exit code. `hidden` commands are taken and not shown; `words`
    follow a command in the usage line.
    """

    name: str
    package: str
    commands: Mapping[str, tuple[str, str]]
    summary: str
    examples: str
    hidden: tuple[str, ...] = ()
    words: str = "..."

    def run(self, argv: Sequence[str]) -> int:
        """Import the module of the command that is meant, and run it with what follows.

        Raises:
            DeepSeekError: there is no such command, or what the command itself raises.
        """
        chosen = self.chosen(argv)
        if chosen is None:
            return 0
        name, rest = chosen
        module, summary = self.commands[name]
        command = import_module(f"{self.package}.{module}")
        parser = command_parser(f"{self.name} {name}", summary=summary, examples=command.EXAMPLES)
        command.add_arguments(parser)
        code: int = command.run(parser.parse_intermixed_args(rest))
        return code

    def chosen(self, argv: Sequence[str]) -> tuple[str, list[str]] | None:
        """The command that is meant and what follows it; None where only help was wanted.

        Raises:
            ConfigError: there is no such command; the nearest one is named.
        """
        words = list(argv)
        if not words or words[0].startswith("-"):
            self._help(words)
            return None
        name, rest = words[0], words[1:]
        if name in self.commands or name in self.hidden:
            return name, rest
        from difflib import get_close_matches

        close = get_close_matches(name, self.commands, n=1)
        raise ConfigError(
            f"ds-sdk {self.name} has no command {name!r}",
            remedy=f"did you mean {close[0]!r}?" if close else f"ds-sdk {self.name}",
        )

    def _help(self, words: Sequence[str]) -> None:
        width = max(map(len, self.commands)) + 2
        listed = "\n".join(f"  {name:{width}}{line}" for name, (_, line) in self.commands.items())
        how = f"commands (ds-sdk {self.name} COMMAND --help explains one)"
        parser = CommandParser(
            prog=f"ds-sdk {self.name}",
            description=self.summary,
            epilog=f"{how}:\n{listed}\n\n{self.examples}",
            allow_abbrev=False,
        )
        parser.usage = f"ds-sdk {self.name} COMMAND {self.words}"
        parser.parse_args(words)
        parser.print_help()
