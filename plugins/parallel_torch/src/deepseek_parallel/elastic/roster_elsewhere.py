"""The roster of a run that another machine has begun, as a machine that joins it sees it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final

import attrs

from deepseek_core import errors
from deepseek_parallel.elastic import wire
from deepseek_parallel.errors import JoinRefused

_ASK_S: Final = 10.0


@attrs.define
class RosterElsewhere:
    """A roster at "host:port", which this machine neither starts nor ends."""

    address: str
    run: str
    pid: int | None = -1  # that it ends is seen by the workers

    def start(self) -> None:
        """Nothing: it runs."""

    def stop(self) -> None:
        """Nothing: others need it."""

    def has_seen_workers(self) -> bool:
        """Whether a worker may be started in the place of another one: always."""
        return True

    def job(self) -> Mapping[str, Any]:
        """What the run trains, as the machine that has begun it told.

        Raises:
            ConfigError: the address can't be, or nobody answers there.
            JoinRefused: the run is another one than `run` says.
        """
        try:
            return asked(wire.address_of(self.address), self.run, "job", _ASK_S)
        except JoinRefused:  # a ValueError too
            raise
        except (OSError, ValueError) as error:
            why = f"nothing was heard for {_ASK_S:g} s" if isinstance(error, TimeoutError) else (
                getattr(error, "strerror", None) or str(error)
            )  # fmt: skip
            raise errors.ConfigError(
                f"no run answers at {self.address}: {why}",
                remedy="give the address that its ds-sdk train run --listen has printed; a "
                "firewall must let that port through, and those of the workers",
            ) from error


def asked(place: tuple[str, int], run: str, kind: str, limit_s: float) -> Mapping[str, Any]:
    """What the roster at a place answers to a question of this kind.

    Raises:
        OSError: nobody answers in time.
        ValueError: the answer is no roster's.
        JoinRefused: it is the roster of another run.
    """
    with socket.create_connection(place, limit_s) as peer:
        peer.settimeout(limit_s)
        peer.sendall(wire.sent({"kind": kind, "run": run}))
        lines = wire.Lines()
        while data := peer.recv(1 << 16):
            for message in lines.fed(data):
                if message["kind"] == "refused":
                    raise JoinRefused(
                        "the run there is another one: the token differs",
                        remedy=f"set {wire.RUN} as its ds-sdk train run --listen has printed it",
                    )
                return message
    raise ValueError("what listens there is no roster")
