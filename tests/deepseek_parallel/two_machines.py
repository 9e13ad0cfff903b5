"""Two machines, each a network namespace, and the cable between them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

FIRST, SECOND = "10.77.0.1", "10.77.0.2"
_KEEP = ("sleep", "600")


class NoMachines(Exception):
    """This machine lets nobody have namespaces, or has not the programs."""


class Machine:
    """A network namespace; the process that keeps it."""

    def __init__(self, keeper: subprocess.Popen[bytes]) -> None:
        self.keeper = keeper
        self.inside = ["nsenter", "-t", str(keeper.pid), "-U", "-n", "--preserve-credentials"]

    def call(self, *words: str) -> None:
        """Run a command in it."""
        done = subprocess.run(
            [*self.inside, *words], capture_output=True, text=True, timeout=20, check=False
        )
        if done.returncode:
            raise NoMachines(f"{' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def machines() -> Iterator[tuple[Machine, Machine]]:
    """Two machines that reach each other at FIRST and SECOND; the end of the cable is "cable".

    Raises:
        NoMachines: with the reason.
    """
    keepers: list[subprocess.Popen[bytes]] = []
    try:
        try:
            keepers.append(_ready(["unshare", "-rn", *_KEEP]))
            first = Machine(keepers[0])
            keepers.append(_ready([*first.inside, "unshare", "-n", *_KEEP]))
        except OSError as error:
            raise NoMachines(str(error)) from error
        second = Machine(keepers[1])
        words = "ip link add name cable type veth peer name cable netns"
        first.call(*words.split(), str(keepers[1].pid))
        for machine, address in ((first, FIRST), (second, SECOND)):
            machine.call("ip", "address", "add", f"{address}/24", "dev", "cable")
            machine.call("ip", "link", "set", "lo", "up")
            machine.call("ip", "link", "set", "cable", "up")
        yield first, second
    finally:
        for keeper in keepers:
            keeper.kill()
            keeper.wait()


def _ready(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a keeper, and wait until it has become `sleep`, in its namespace."""
    import time
    from pathlib import Path

    keeper = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    name = Path("/proc") / str(keeper.pid) / "comm"
    for _ in range(500):
        if keeper.poll() is not None:
            raise NoMachines(f"{command[0]} ended with {keeper.returncode}")
        if name.read_text().strip() == _KEEP[0]:
            return keeper
        time.sleep(0.01)
    raise NoMachines(f"{' '.join(command)} does not begin")
