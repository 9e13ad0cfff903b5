"""Sessions over given devices, made without any plugin installed."""

from contextlib import ExitStack, contextmanager

from deepseek_core import DeviceSpec, Session
from deepseek_core.contracts.device import OpenOptions
from deepseek_core.discovery.probe_result import ProbeResult
from deepseek_core.discovery.registry import Registry
from deepseek_core.discovery.switches import Switches
from deepseek_core.runtime.limits import Limits
from deepseek_core.runtime.planner import Planner
from deepseek_core.runtime.pool import DevicePool

import plain_devices  # isort: skip


def plain_session(
    folder, *device_ids, factory="plain_devices:PlainDevice", limits=None, finite=False,
    registry=None, **options
):  # fmt: skip
    """A session whose devices are of this factory; `options` are those of the device's spec.

    `limits` and `finite` are what a session calls `limits` and `check_finite`.
    """
    registry = registry or Registry(plugins=(), switches=Switches())
    made = Session(registry=registry, cache_dir=folder)
    spec = DeviceSpec(
        name="plain", kind="cpu", factory=factory, probe="plain_devices:info", **options
    )
    found = ProbeResult(
        spec=spec,
        plugin="plain",
        dist="plain",
        rows=tuple(map(plain_devices.info, device_ids)),
        status="available",
        seconds=0.0,
    )
    made._pool = DevicePool(
        [found],
        OpenOptions(threads=2, cache_dir=folder),
        limits=Limits.of(limits or {}),
        check_finite=finite,
    )
    made._planner = Planner(made._pool, lambda: made._history, 8)
    return made


@contextmanager
def plain_sessions(folder):
    """Makes sessions as `plain_session` does, and closes them at the end."""
    with ExitStack() as opened:
        yield lambda *device_ids, **options: opened.enter_context(
            plain_session(folder, *device_ids, **options)
        )
