"""Imports that end or hang the process: noted while they go on, so that the next process knows.

While a process imports the plugins of others, a file of its own in the folder for caches names the
one whose turn it is; the file is locked, and removed at the end. One that nobody locks, or that has
been there too long, tells of an import that did not end. From then on that plugin is imported in a
process of its own first; one that ends or hangs that as well is broken, and is tried again an hour
later or once it has changed. Where files can't be locked, nothing is noted.

Native code that hangs and keeps Python's lock lets no handler of the alarm run. A thread of
`faulthandler`, which needs no lock, then ends `ds-sdk`; frames are all that it can tell, so one has
a sentence for its name. A user's program is not ended by us.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import Any, Final, TypeVar

from deepseek_core.contracts.files import read_own
from deepseek_core.discovery.folders import checksum, make_private, preferred_cache_dir
from deepseek_core.discovery.installing import disable_setting, remove_command
from deepseek_core.discovery.modules import locate
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.strangers import Process
from deepseek_core.discovery.switches import Switches

_GOOD_FOR_S: Final = 3600.0
_MOST_DEATHS: Final = 2
_LEAST_HANG_S: Final = 60.0
_LIMIT_S: Final = 20.0  # of the other process, where the switches set none
_START_S: Final = 5.0
_NBYTES: Final = 512
_PATIENCE: Final = 3

Verdict = tuple[str, str]
T = TypeVar("T")


class Imports:
    """The imports of one process; close it when they have ended."""

    def __init__(self, switches: Switches, resolved: Sequence[EntryPoint]) -> None:
        self._switches = switches
        self._resolved = resolved
        self._limit_s = switches.load_timeout_s or _LIMIT_S
        self._folder = preferred_cache_dir() / "imports"
        self._descriptor: int | None = None
        self._file: Path | None = None
        # A child of ours is where a plugin may do its worst.
        if "DEEPSEEK_CHILD" not in os.environ and make_private(self._folder) is None:
            with suppress(OSError, ImportError):
                self._count_deaths()
                self._begin()

    def refusal(self, point: EntryPoint) -> Verdict | None:
        """Reason and remedy of a plugin that is not to be imported in this process."""
        if self._file is None:
            return None
        noted = _read(self._record(_identity(point)))
        if noted is None:
            return None
        if noted.get("key") not in (None, _key(point)):  # it has changed since
            self.ended_well(point)
            return None
        age_s = time.time() - noted.get("at", 0.0)
        if noted.get("ending") is None or not 0 <= age_s <= _GOOD_FOR_S:
            noted |= {"key": _key(point), "at": time.time(), "ending": self._tried(point, noted)}
            _write(self._record(_identity(point)), noted)
            age_s = 0.0
        if noted["ending"] is None:
            return None
        asked = f" (tried {age_s / 60:.0f} min ago)" if age_s >= 60 else ""
        remedy = f"{remove_command(point.dist)} (or {disable_setting(point.name)})"
        return f"{noted['ending']}{asked}", remedy

    def begin(self, point: EntryPoint) -> None:
        """Note that this one is imported now; `ds-sdk` ends if it takes three times its limit."""
        if Process.is_ours and self._switches.load_timeout_s:
            faulthandler.dump_traceback_later(_PATIENCE * self._limit_s, exit=True, file=2)
        if self._descriptor is not None:
            with suppress(OSError):
                content = _identity(point).encode().ljust(_NBYTES, b"\n")
                os.pwrite(self._descriptor, content[:_NBYTES], 0)

    def ended_well(self, point: EntryPoint) -> None:
        """Forget what was noted of it."""
        if Process.is_ours:
            faulthandler.cancel_dump_traceback_later()
        if self._file is not None:
            self._record(_identity(point)).unlink(missing_ok=True)

    def close(self) -> None:
        """Take the note of this process away."""
        if self._descriptor is not None and self._file is not None:
            self._file.unlink(missing_ok=True)
            os.close(self._descriptor)
        self._descriptor = self._file = None

    def leave(self) -> None:
        """Leave the note to the next process, which takes this one for ended."""
        if Process.is_ours:
            faulthandler.cancel_dump_traceback_later()
        if self._descriptor is not None:
            with suppress(OSError):  # it may be closed
                os.close(self._descriptor)
        self._descriptor = self._file = None

    def _begin(self) -> None:
        file = self._folder / f"running-{os.urandom(8).hex()}"
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if not _lock(descriptor):
            os.close(descriptor)
            return
        self._file, self._descriptor = file, descriptor

    def _count_deaths(self) -> None:
        for file in self._folder.glob("running-*"):
            identity = _unfinished(file, max(_PATIENCE * self._limit_s, _LEAST_HANG_S))
            if identity:
                record = self._record(identity)
                noted = _read(record) or {}
                _write(record, {**noted, "deaths": noted.get("deaths", 0) + 1, "at": 0.0})

    def _tried(self, point: EntryPoint, noted: dict[str, Any]) -> str | None:
        """How it ends a process of its own; None if it does not."""
        from deepseek_core.discovery.isolated import Children

        limit_s = self._limit_s + _START_S  # within it, the import has the usual limit
        children = Children(self._switches, timeout_s=limit_s, resolved=self._resolved)
        outcome = children.ask("load", only=_identity(point))
        if outcome.answer is None:
            return outcome.ending("its import", limit_s)
        deaths = noted.get("deaths", 0)
        if deaths < _MOST_DEATHS:
            return None
        return f"its import has ended the process {deaths} times, though not one of its own"

    def _record(self, identity: str) -> Path:
        return self._folder / f"fatal-{checksum(identity):08x}.json"


def in_named_frame(do: Callable[[], T], point: EntryPoint) -> T:
    """Do it in a frame that says whose import this is, and what to do if it never ends."""
    code = _done.__code__.replace(
        co_filename=f"<plugin {point.name!r} of {point.dist}>",
        co_name="its import, which hung in native code and has ended ds-sdk. Run the command again:"
        f" the plugin is tried in a process of its own then (or {remove_command(point.dist)})",
    )
    named: Callable[[Callable[[], T]], T] = FunctionType(code, globals())
    return named(do)


def _done(do: Callable[[], T]) -> T:
    return do()


def _unfinished(file: Path, hang_s: float) -> str | None:
    """The plugin whose import did not end; None while it may. Takes the file away."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:  # its process has just taken it away
        return None
    try:
        age_s = time.time() - os.fstat(descriptor).st_mtime
        if not _lock(descriptor) and age_s < hang_s:
            return None
        name = os.pread(descriptor, _NBYTES, 0).partition(b"\n")[0]
        file.unlink(missing_ok=True)
        return name.decode("utf-8", "replace") or None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    import fcntl  # not on Windows

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _identity(point: EntryPoint) -> str:
    from deepseek_core.discovery.scan import identities

    return identities([point])[0]


def _key(point: EntryPoint) -> list[object]:
    """What a verdict holds for: this version of the plugin, on this Python."""
    spec = locate(point.module)
    origin = spec.origin if spec is not None else None
    return [point.version, point.location, sys.version, sorted(_changes(origin))]


def _changes(origin: str | None) -> Iterator[float]:
    if origin is not None:
        with suppress(OSError):
            for file in (Path(origin), *Path(origin).parent.glob("*.py")):
                yield file.stat().st_mtime


def _read(file: Path) -> dict[str, Any] | None:
    try:
        noted = json.loads(read_own(file))
        float(noted.get("at", 0.0)), int(noted.get("deaths", 0))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _write(file: Path, noted: dict[str, Any]) -> None:
    from deepseek_core.contracts.errors import WriteError
    from deepseek_core.contracts.files import whole_file

    with suppress(OSError, WriteError), whole_file(file) as partial:
        partial.write_text(json.dumps(noted), encoding="utf-8")
