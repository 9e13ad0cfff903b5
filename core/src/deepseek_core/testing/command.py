"""What every command promises, as tests that a plugin inherits."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, ClassVar, Final

import pytest

from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.discovery.distributions import import_path
from deepseek_core.discovery.registry import Registered
from deepseek_core.discovery.telemetry import without_telemetry
from deepseek_core.testing.plugin import PluginConformance
from deepseek_core.testing.subject import load

_LIMIT_S: Final = 120.0


class CommandConformance(PluginConformance):
    """Inherit it as `Test...`, set `plugin`, `name` and `arguments`.

    `arguments` are command lines that must end well: `[["--dry-run"], ["--json", "x"]]`.
    """

    kind = "command"
    arguments: ClassVar[list[list[str]]] = []

    @pytest.fixture
    def lines(self) -> list[list[str]]:
        """Command lines that must work."""
        if not self.arguments:
            raise NotImplementedError("set arguments to command lines that must exit 0")
        return self.arguments

    def _main(self, spec: Registered[Any], line: list[str]) -> object:
        """Call the command in this process; the code of a `SystemExit` counts as returned."""
        try:
            code: object = load(spec, spec.record.main)(list(line))
        except SystemExit as leaving:
            return 0 if leaving.code is None else leaving.code
        return code

    def test_its_arguments_work(self, spec: Registered[Any], lines: list[list[str]]) -> None:
        """Through `ds-sdk` itself, each exits 0."""
        for line in lines:
            run = subprocess.run(
                [sys.executable, "-P", "-m", "deepseek_core", spec.record.name, *line],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env={**without_telemetry(os.environ), "PYTHONPATH": os.pathsep.join(import_path())},
                timeout=_LIMIT_S,
                check=False,
            )
            assert run.returncode == 0, f"{line}: exit code {run.returncode}: {run.stderr}"

    def test_its_exit_code_is_a_number(self, spec: Registered[Any], lines: list[list[str]]) -> None:
        """`main` returns it; None and True are no exit codes."""
        for line in lines:
            assert type(self._main(spec, line)) is int

    def test_help_works(self, spec: Registered[Any], capsys: pytest.CaptureFixture[str]) -> None:
        """`--help` prints to stdout and exits 0."""
        assert self._main(spec, ["--help"]) == 0
        assert capsys.readouterr().out.strip(), "--help prints nothing"

    def test_a_bad_argument_is_refused_in_words(
        self, spec: Registered[Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """An error of the SDK, or a message and an exit code that is not 0; no traceback."""
        try:
            code = self._main(spec, ["--no-such-option-of-any-command"])
        except DeepSeekError as refusal:
            assert str(refusal)
            return
        assert code not in (0, None)
        assert capsys.readouterr().err.strip(), "it leaves without a word"
