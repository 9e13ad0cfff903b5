"""Writers in processes of their own, which end well or are killed.

Within an object the kernel kills, at a fixed byte: beyond the limit of a file's size a process
gets SIGXFSZ. Tiers that write no files end their write; the object must then be whole.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from threading import Timer
from typing import Final, Self

from deepseek_core.discovery.distributions import import_path
from deepseek_core.discovery.telemetry import without_telemetry

_LIMIT_BYTES: Final = 1 << 20
_CODE: Final = """
import resource, signal, sys
from importlib import import_module
module, _, name = sys.argv[1].partition(":")
factory = getattr(import_module(module), name)
data = sys.stdin.buffer.read()
tier = factory(sys.argv[2])
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and the write would raise
tier.put_if_absent(sys.argv[3], data)
"""

_MANY: Final = """
import sys
from importlib import import_module
from deepseek_core.testing.tier_faults import content_of
module, _, name = sys.argv[1].partition(":")
number, each, contested = map(int, sys.argv[3:])
tier = getattr(import_module(module), name)(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
keys = [f"own/{number}/{step}" for step in range(each)]
for key in (*keys, *(f"both/{step}" for step in range(contested))):
    if tier.put_if_absent(key, content_of(key)):
        print(key, flush=True)
tier.close()
"""
_NBYTES: Final = 3_000
_LIMIT_S: Final = 60.0


def content_of(key: str) -> bytes:
    """What every writer of the kit writes under a key."""
    return (key.encode() + b"|") * (_NBYTES // (len(key.encode()) + 1))


class Writer:
    """A process that writes objects of its own, then contested ones, and tells each key."""

    def __init__(self, factory: str, url: str, number: int, each: int, contested: int) -> None:
        words = (factory, url, str(number), str(each), str(contested))
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", _MANY, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            text=True,
        )
        self._timer, self._words = Timer(_LIMIT_S, self._child.kill), ""

    def __enter__(self) -> Self:
        self._timer.start()
        assert self._child.stdout is not None
        if self._child.stdout.readline() != "ready\n":
            self.__exit__()
            raise AssertionError(f"another process can't open it: {self._words}")
        return self

    def __exit__(self, *_exc: object) -> None:
        self._child.kill()
        _, self._words = self._child.communicate()
        self._timer.cancel()

    def begin(self) -> None:
        """Let it write: those that were made together begin together."""
        assert self._child.stdin is not None
        self._child.stdin.write("go\n")
        self._child.stdin.flush()

    def written(self) -> set[str]:
        """All keys that it was told it had written, once it has ended well."""
        told = set(self._told())
        code = self._child.wait(_LIMIT_S)
        assert self._child.stderr is not None
        assert code == 0, f"a writer's process ended with code {code}: {self._child.stderr.read()}"
        return told

    def killed_after(self, count: int) -> set[str]:
        """The keys that it had told when it was killed, at least so many unless it ended."""
        told = set()
        for key in self._told():
            told.add(key)
            if len(told) == count:
                self._child.kill()
        return told

    def _told(self) -> Iterator[str]:
        assert self._child.stdout is not None
        return (line.rstrip("\n") for line in self._child.stdout if line.endswith("\n"))


def write_and_die(factory: str, url: str, key: str, data: bytes) -> None:
    """Write an object from another process, which dies at the first MiB of a file."""
    subprocess.run(
        [sys.executable, "-P", "-c", _CODE, factory, url, key, str(_LIMIT_BYTES)],
        input=data,
        capture_output=True,
        env=_environment(),
        timeout=120,
        check=False,
    )


def _environment() -> dict[str, str]:
    return {**without_telemetry(os.environ), "PYTHONPATH": os.pathsep.join(import_path())}
