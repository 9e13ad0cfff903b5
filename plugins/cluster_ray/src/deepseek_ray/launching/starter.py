"""What runs in an actor: one command of its node; it knows nothing of Ray."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deepseek_core import errors
from deepseek_ray.launching.kept import GRACE_S

if TYPE_CHECKING:
    from deepseek_core import training

LAST_LINES: Final = 20
_AFTER_S: Final = 6.0
"""More than `kept` takes once the command has ended."""
_READ_S: Final = 1.0
_LOOK_S: Final = 0.5


class Starter:
    """An actor on a node, and the command that it has started.

    The daemon of the node is its parent. When that is gone so is the node for all others, but an
    actor of Ray stays for minutes then: it ends, and its command before it.
    """

    def __init__(self) -> None:
        self._daemon = os.getppid()
        self._is_cut_off = False  # the daemon is gone, and this process goes
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._lines: deque[str] = deque(maxlen=LAST_LINES)

    def start(self, command: training.Command) -> tuple[str, bool]:
        """Start a command; the folder that it runs in, and whether that is a copy.

        Raises:
            PluginError: the plugins here are not those of the caller.
            InputError: a file that it needs is not here, or its own can't be written.
        """
        _check_plugins(command.environment)
        _check_needs(command.needs)
        folder, files = command.folder, command.files
        is_copy = not _has(Path(folder), files)
        words = [sys.executable, "-m", "deepseek_ray.launching.kept"]
        if is_copy:
            folder = _copied(files)
            words += ["--remove", folder]
        self._process = subprocess.Popen(
            [*words, sys.executable, *command.arguments],
            cwd=folder, env={**os.environ, **command.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stderr,), daemon=True
        )
        self._reader.start()
        threading.Thread(target=self._end_with_daemon, args=(self._process,), daemon=True).start()
        return folder, is_copy

    def _end_with_daemon(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            if os.getppid() != self._daemon:
                self._is_cut_off = True
                self.stop(GRACE_S)
                os._exit(1)
            time.sleep(_LOOK_S)

    def _read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                if text := line.decode("utf-8", "replace").strip():
                    self._lines.append(text)

    def look(self) -> tuple[int | None, list[str]]:
        """The exit code, if it has ended, and the last lines of stderr."""
        assert self._process is not None
        assert self._reader is not None
        code = None if self._is_cut_off else self._process.poll()
        if code is not None:
            self._reader.join(_READ_S)
        return code, list(self._lines)

    def stop(self, limit_s: float) -> tuple[int | None, list[str]]:
        """End it, by SIGKILL after a limit; as `look` then."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{limit_s}\n".encode())
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(limit_s + _AFTER_S)
        return self.look()


def _check_plugins(environment: Mapping[str, str]) -> None:
    """Load the plugins that the caller has, or refuse.

    Raises:
        PluginError: they are not here, or of other versions.
    """
    from deepseek_core import Session

    os.environ.update(environment)
    Session().close()


def _check_needs(needs: Mapping[str, bytes]) -> None:
    for name in needs:
        if not _has(Path("/"), {name: needs[name]}):
            raise errors.InputError(
                f"{Path(name).parent} is another folder there than where the command comes from",
                remedy="mount it on all nodes by the same path, or name another place",
            )


def _has(folder: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return folder.is_dir() and all(
            (folder / name).read_bytes() == content for name, content in files.items()
        )
    except OSError:
        return False


def _copied(files: Mapping[str, bytes]) -> str:
    """A new folder with these files.

    Raises:
        InputError: there is no room for it, or no right.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="deepseek-launch-"))
    except OSError as error:
        raise _not_written(tempfile.gettempdir(), error) from error
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _not_written(str(folder), error) from error
    return str(folder)


def _not_written(where: str, error: OSError) -> errors.InputError:
    return errors.InputError(
        f"the command's files can't be written to {where}: {error.strerror}",
        remedy="free space there, or put the files into the same folder on all nodes",
    )
