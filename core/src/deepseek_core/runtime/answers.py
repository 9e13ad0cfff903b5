"""What a plugin's device answers: checked where it enters, whatever it raises told.

A device that lies or crashes when it is asked is no candidate; it takes nobody else down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from deepseek_core.contracts.device import Concurrency, Device, Estimate, Support
from deepseek_core.contracts.errors import DeepSeekError, DeviceError, PluginError
from deepseek_core.contracts.stage import Task
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.discovery.strangers import one_line, raise_if_ours
from deepseek_core.runtime.interrupts import stop_if_interrupted

T = TypeVar("T")

_LEAST_S: Final = 1e-9  # no run takes less
_MOST_S: Final = 1e9  # thirty years
_MOST_SIGMA: Final = 10.0  # a factor of 22,000


def asked(device_id: str, what: str, ask: Callable[[], T], kind: type[T]) -> T:
    """What a device answers.

    Raises:
        PluginError: it raised what no contract foresees, or answered something else.
        DeviceError: its own error.
    """
    try:
        answer = ask()
    except DeviceError:
        raise
    except BaseException as error:
        raise_if_ours(error)
        stop_if_interrupted(error)
        raise PluginError(f"{device_id} can't tell its {what}: {one_line(error)}") from error
    if not isinstance(answer, kind):
        told = f"a {type(answer).__name__}, no {kind.__name__}"
        raise PluginError(f"{device_id} answered {told}, when asked for its {what}")
    return answer


def support_of(device_id: str, ask: Callable[[], Support]) -> Support:
    """Whether it supports something; what can't be told is a no."""
    try:
        return asked(device_id, "support", ask, Support)
    except DeepSeekError as error:
        return Support.no(error.message)


def estimate_of(device: Device, task: Task) -> Estimate:
    """What a run would cost, in seconds that can be counted with.

    Raises:
        PluginError: it gives none, or one that is not credible.
    """
    device_id = device.info.id
    given = asked(device_id, "estimate", lambda: device.estimate(task), Estimate)
    if given.seconds > _MOST_S or given.sigma > _MOST_SIGMA:
        told = f"{given.seconds:g} s, sigma {given.sigma:g}"
        raise PluginError(f"{device_id} gives an estimate that is not credible: {told}")
    return given if given.seconds >= _LEAST_S else attrs.evolve(given, seconds=_LEAST_S)


def takes(device: Device, latency: LatencyClass) -> Concurrency:
    """How many runs it takes at once.

    Raises:
        PluginError: it does not say.
    """
    return asked(device.info.id, "concurrency", lambda: device.concurrency(latency), Concurrency)
