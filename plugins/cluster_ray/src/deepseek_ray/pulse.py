"""Calls of an actor that are never waited for without limit."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from deepseek_core import errors
from deepseek_ray.faults import translated

_LOOK_S: Final = 1.0


class Pulse:
    """Knows whether an actor answers: it is asked while somebody waits for it, and only then."""

    def __init__(self, actor: Any, device_id: str, silent_s: float) -> None:
        self.actor, self.device_id, self.silent_s = actor, device_id, silent_s
        self._ping: Any = None
        self._since_s = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise if it has not answered for too long.

        Raises:
            DeviceLost: it hangs, or is gone.
        """
        import ray

        with self._lock:
            if self._ping is None:
                self._ping = self.actor.ping.options(concurrency_group="pulse").remote()
                self._since_s = time.monotonic()
                return
            ready, _ = ray.wait([self._ping], timeout=0)
            silent_s = time.monotonic() - self._since_s
            answered, self._ping = self._ping, None if ready else self._ping
        if ready:
            try:
                ray.get(answered)
            except ray.exceptions.RayError as error:
                raise translated(error, self.device_id) from error
        elif silent_s > self.silent_s:
            raise errors.DeviceLost(
                f"{self.device_id} has not answered for {self.silent_s:g} s",
                device_id=self.device_id,
                remedy="see whether its node hangs; cluster_ray.silent_s is the limit",
            )

    def sent(self, method: Any, *given: Any) -> Any:
        """What a call of the actor will give; large arguments go into the object store first.

        Raises:
            OutOfMemory: they have no space there.
        """
        import ray

        try:
            return method.remote(*given)
        except ray.exceptions.RayError as error:
            raise translated(error, self.device_id) from error

    def result(self, ref: Any, *others: Pulse) -> Any:
        """What a call gives, as long as this actor, and those that it waits for, answer.

        Raises:
            DeviceLost: it does not any more.
            TensorLost: one of the others, whose tensors it reads, does not.
            BaseException: what the device raised.
        """
        import ray

        look_s = min(_LOOK_S, self.silent_s / 4)
        while True:
            try:
                return ray.get(ref, timeout=look_s)
            except ray.exceptions.GetTimeoutError:
                self.check()
                for other in others:
                    other.check_tensors()
            except ray.exceptions.RayError as error:
                raise translated(error, self.device_id) from error

    def check_tensors(self) -> None:
        """Do what `check` does, for callers that wait for the device's tensors.

        Raises:
            TensorLost: it does not answer, and what it holds can't be read.
        """
        try:
            self.check()
        except errors.DeviceError as error:
            raise errors.TensorLost(
                f"what {self.device_id} made can't be read: {error.message}",
                device_id=self.device_id,
            ) from error
