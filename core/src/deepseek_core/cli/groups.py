"""Groups of commands that a plugin adds: `ds-sdk GROUP COMMAND ...`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from deepseek_core.cli.parser import CommandParser
from deepseek_core.contracts.errors import ConfigError


@attrs.frozen(kw_only=True)
class CommandGroup:
    """The commands of a group, each with its line for `--help`, which imports none of them.

    `hidden` are taken and not shown; `words` follow a command in the usage line.
    """

    name: str
    lines: Mapping[str, str]
    summary: str
    examples: str
    hidden: tuple[str, ...] = ()
    words: str = "..."

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
        if name in self.lines or name in self.hidden:
            return name, rest
        from difflib import get_close_matches

        close = get_close_matches(name, self.lines, n=1)
        raise ConfigError(
            f"ds-sdk {self.name} has no command {name!r}",
            remedy=f"did you mean {close[0]!r}?" if close else f"ds-sdk {self.name}",
        )

    def _help(self, words: Sequence[str]) -> None:
        width = max(map(len, self.lines)) + 2
        listed = "\n".join(f"  {name:{width}}{line}" for name, line in self.lines.items())
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
