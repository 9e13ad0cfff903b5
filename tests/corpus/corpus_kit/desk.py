"""The SDK in a home of its own: a session, and the command line in this process or apart."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from deepseek_core import Session
from deepseek_core.cli.main import main

_LIMIT_S: Final = 600
_DEVICE: Final = "onnx"


class CommandFailed(AssertionError):
    """The command ended with another exit code than 0."""


@attrs.frozen
class Desk:
    """Caches and settings lie in `home`, never in the user's."""

    home: Path

    def open_session(self) -> Session:
        """ONNX Runtime on one thread and no other device, so that bits can be compared."""
        with self._at_home():
            return Session(devices=[_DEVICE], threads=1, cache_dir=self.home / "deepseek")

    def run_command(self, words: list[str], *, apart: bool) -> dict[str, Any]:
        """`ds-sdk run` with these words: its report.

        Raises:
            CommandFailed: an exit code other than 0, with what it wrote to stderr.
        """
        whole = ["run", *words, "--device", _DEVICE, "--threads", "1", "--json"]
        code, out, err = self._apart(whole) if apart else self._here(whole)
        if code:
            raise CommandFailed(f"exit code {code}: {' '.join(err.split())}")
        report: dict[str, Any] = json.loads(out)
        return report

    def _here(self, words: list[str]) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with self._at_home(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
        return code, out.getvalue(), err.getvalue()

    def _apart(self, words: list[str]) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "deepseek_core", *words],
            env={**os.environ, **self._environment},
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    @property
    def _environment(self) -> dict[str, str]:
        return dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), str(self.home))

    @contextlib.contextmanager
    def _at_home(self):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._environment.items():
                patch.setenv(name, value)
            yield
