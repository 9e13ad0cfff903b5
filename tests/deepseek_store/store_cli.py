"""Runs `ds-sdk store` in this process, as a user would type it."""

import json
import os
from pathlib import Path

from deepseek_core.cli.main import main

SMALL = ("--set", "warm_fragment_nbytes=64K", "--set", "cold_fragment_nbytes=64K")


class Cli:
    """The command, for one home; `out` and `err` are of the last call."""

    def __init__(self, home, capfdbinary):
        self.home, self._captured = Path(home), capfdbinary
        self.raw, self.err = b"", ""

    @property
    def out(self):
        return self.raw.decode(errors="replace")

    def __call__(self, command, *words, code=0):
        found = main(["store", command, str(self.home), *map(str, words)])
        self._take()
        assert found == code, (found, self.out, self.err)
        return self.out

    def json(self, command, *words, code=0):
        told = self(command, *words, "--json", code=code)
        assert told, self.err
        return json.loads(told)

    def group(self, *words):
        """`ds-sdk store` with these words, no home among them."""
        found = main(["store", *words])
        self._take()
        return found

    def init(self, *words):
        """A store with tiers in the memory of this process, under names of its own."""
        name = os.fspath(self.home).replace("/", "-").strip("-")
        warm, cold = f"memory://w{name}?domains=8", f"memory://c{name}?domains=8"
        codes = ("--set", "codes.warm=rs(4,2)", "--set", "codes.cold=rs(4,2)")
        return self("init", "--warm", warm, "--cold", cold, *codes, *SMALL, *words)

    def _take(self):
        captured = self._captured.readouterr()
        self.raw, self.err = captured.out, captured.err.decode()
