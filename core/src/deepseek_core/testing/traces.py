"""What using a plugin leaves in the process and around it: rules of every kind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from deepseek_core.discovery.registry import Registered
from deepseek_core.testing.leaks import settled
from deepseek_core.testing.plugin import PluginConformance
from deepseek_core.testing.process_state import odd_state
from deepseek_core.testing.watching import Traces, watching

_SEEN: Final[dict[type, Traces]] = {}
"""Class with rules -> the traces of one use, which all of its rules look at."""


class TraceRules(PluginConformance):
    """Rules over one ordinary use; a class of a kind says what that is."""

    def use(self, spec: Registered[Any], folder: Path) -> None:
        """Open it, let it work in the folder that it is given, and close it."""
        raise NotImplementedError("say how it is used: def use(self, spec, folder)")

    def prepare(self, spec: Registered[Any], folder: Path) -> None:
        """What comes before a use and is not watched; nothing by default."""

    @pytest.fixture
    def traces(self, spec: Registered[Any], tmp_path: Path) -> Traces:
        """What one use of it does to the process, and outside of the folder that it is given."""
        if type(self) not in _SEEN:
            _SEEN[type(self)] = self._traces(spec, tmp_path)
        return _SEEN[type(self)]

    def _traces(self, spec: Registered[Any], folder: Path) -> Traces:
        given, elsewhere = folder / "given", folder / "elsewhere"
        for made in (given, elsewhere):
            made.mkdir()
        self.prepare(spec, given)
        with odd_state(elsewhere), _temporary() as temporary, watching(given, temporary) as seen:
            self.use(spec, given)
            settled(lambda: _processes(seen()))
            traces = seen()
            left = [f"{path.name} in the temporary folder" for path in temporary.iterdir()]
        return Traces(
            changed=traces.changed,
            wrote=(*traces.wrote, *left),
            called=traces.called,
            started=traces.started,
            left_open=_processes(traces),
        )

    def test_using_it_leaves_the_process_as_it_was(self, traces: Traces) -> None:
        """Working folder, signals, random state, variables and all else that is shared."""
        assert not traces.changed

    def test_using_it_writes_only_where_it_may(self, traces: Traces) -> None:
        """In the folder that it is given; temporary files are gone at the end."""
        assert not traces.wrote

    def test_using_it_calls_nobody(self, traces: Traces) -> None:
        """No connection that its user did not ask for; what lives by one waives this rule."""
        assert not traces.called

    def test_using_it_leaves_no_process(self, traces: Traces) -> None:
        """Programs that it starts have ended when it is closed."""
        assert not traces.left_open


def _processes(traces: Traces) -> tuple[str, ...]:
    return tuple(name for name in traces.left_open if name.startswith("process "))


@contextmanager
def _temporary() -> Iterator[Path]:
    """Let temporary files go to a folder of their own, of C libraries too."""
    variable, before = os.environ.get("TMPDIR"), tempfile.tempdir
    # Not in the test's folder: the path of a socket has 107 bytes at most.
    folder = tempfile.mkdtemp(prefix="ds-")
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        tempfile.tempdir = before
        os.environ.pop("TMPDIR")
        if variable is not None:
            os.environ["TMPDIR"] = variable
