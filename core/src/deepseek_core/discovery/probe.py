"""Asking for devices: one child process for each spec, with a time-out.

Drivers abort, hang and print; in a process of its own each of these becomes a row.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import attrs

from deepseek_core.contracts.device import DeviceSpec
from deepseek_core.discovery import probe_cache
from deepseek_core.discovery._probe_child import LARGEST_ANSWER
from deepseek_core.discovery.modules import package_of
from deepseek_core.discovery.probe_result import (
    ProbeResult,
    ended,
    failed,
    judged,
    to_rows,
    unique_ids,
)
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.status import Status

# More at once only slows them down until they run into their time-outs.
_AT_ONCE: Final = 8
_TAIL_BYTES: Final = 4096


def probe_devices(
    registry: Registry, *, timeout_s: float, cache_dir: Path, refresh: bool = False
) -> tuple[ProbeResult, ...]:
    """Ask each device spec for its devices, at most `timeout_s` seconds each.

    Takes results that are still valid from the cache, unless `refresh`. The order is that of
    `registry.devices`. A device id that two specs report is available in neither.
    """
    devices = registry.devices
    known = [None if refresh else _recall(device, timeout_s, cache_dir) for device in devices]
    todo = [device for device, result in zip(devices, known, strict=True) if result is None]
    fresh = iter(_run_all(todo, timeout_s))
    results = [next(fresh) if result is None else result for result in known]
    for device, result in zip(devices, results, strict=True):
        if not result.cached:
            probe_cache.write(device, result, cache_dir)
    return unique_ids(results)


def _recall(
    device: Registered[DeviceSpec], timeout_s: float, cache_dir: Path
) -> ProbeResult | None:
    result = probe_cache.read(device, cache_dir)
    # What failed at once is asked again; what hung is not, unless it gets more time.
    hopeful = result is not None and result.status is Status.BROKEN and result.seconds < timeout_s
    return None if hopeful else result


def _run_all(devices: Sequence[Registered[DeviceSpec]], timeout_s: float) -> list[ProbeResult]:
    if not devices:
        return []
    running = _Running()
    with ThreadPoolExecutor(min(_AT_ONCE, len(devices)), "probe") as pool:
        try:
            return list(pool.map(lambda device: _timed(device, timeout_s, running), devices))
        except BaseException:  # Ctrl-C: no child may outlive its parent
            pool.shutdown(wait=False, cancel_futures=True)
            running.kill_all()
            raise


def _timed(device: Registered[DeviceSpec], timeout_s: float, running: _Running) -> ProbeResult:
    if not device.usable:
        found = ended(device, Status.UNAVAILABLE, device.reason, device.remedy)
        return attrs.evolve(found, checked_at=time.time())
    start_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="deepseek-probe-") as folder:
        result = _run(device, timeout_s, Path(folder), running)
    spent_s = round(time.perf_counter() - start_s, 4)
    return attrs.evolve(result, seconds=spent_s, checked_at=time.time())


def _run(
    device: Registered[DeviceSpec], timeout_s: float, folder: Path, running: _Running
) -> ProbeResult:
    request, answer, output = folder / "request.json", folder / "answer.json", folder / "output"
    request.write_text(
        json.dumps(
            {
                "locator": device.record.probe,
                "path": sys.path,
                "answer": str(answer),
                "limit_s": timeout_s,
            }
        ),
        encoding="utf-8",
    )
    with output.open("wb") as stream:
        child = _start(request, stream)
    code = running.wait(child, timeout_s)
    if answer.exists():
        return _interpret(device, answer)
    return _silent(device, code, timeout_s, _last_line(output))


def _start(request: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    # -P: a json.py in the user's folder must not stand in for the library's.
    command = [sys.executable, "-P", "-m", "deepseek_core.discovery._probe_child", str(request)]
    root = str(Path(__file__).parents[2])  # where deepseek_core is
    inherited = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([root, inherited] if inherited else [root]),
    }
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )


class _Running:
    """The children that run now, each with the processes that it started."""

    def __init__(self) -> None:
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def wait(self, child: subprocess.Popen[bytes], timeout_s: float) -> int | None:
        """The exit code, negative for a signal; None if the time was up. None survives."""
        with self._lock:
            self._children.add(child)
            stopped = self._stopped
        try:
            return None if stopped else child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _kill_group(child)
            child.wait()
            with self._lock:
                self._children.discard(child)

    def kill_all(self) -> None:
        """End every child now, and those that a thread is about to start."""
        with self._lock:
            self._stopped = True
            for child in self._children:
                _kill_group(child)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all of the group have ended
        os.killpg(child.pid, signal.SIGKILL)


def _interpret(device: Registered[DeviceSpec], file: Path) -> ProbeResult:
    if file.stat().st_size > LARGEST_ANSWER:
        return _too_large(device, file.stat().st_size)
    try:
        answer: Any = json.loads(file.read_text(encoding="utf-8"))
        if "too_large" in answer:
            return _too_large(device, answer["too_large"])
        if "error" in answer:
            return _raised(device, answer["error"])
        return judged(device, to_rows(answer["rows"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return failed(device, f"the probe's answer does not fit: {error}")


def _too_large(device: Registered[DeviceSpec], nbytes: int) -> ProbeResult:
    return failed(device, f"the probe's answer has {nbytes} bytes; {LARGEST_ANSWER} are allowed")


def _raised(device: Registered[DeviceSpec], error: dict[str, Any]) -> ProbeResult:
    reason = " ".join(error["text"].split()).removesuffix(":")
    remedy = error["remedy"]
    if error.get("module"):
        remedy = f"pip install {package_of(error['module'])} (or pip uninstall {device.dist})"
    broken = failed(device, reason, remedy)
    return attrs.evolve(broken, status=Status.UNAVAILABLE) if error["expected"] else broken


def _silent(
    device: Registered[DeviceSpec], code: int | None, timeout_s: float, last: str
) -> ProbeResult:
    """The result of a probe that left no answer."""
    said = f"; its last words: {last}" if last else ""
    disable = f"DEEPSEEK_DISABLE_PLUGINS={device.plugin}"
    if code is None:
        reason = f"the probe did not answer in {timeout_s:g} s and was killed{said}"
        return failed(device, reason, f"DEEPSEEK_PROBE_TIMEOUT={3 * timeout_s:g} (or {disable})")
    if code < 0:
        return failed(device, f"the probe crashed with {_signal_name(-code)}{said}")
    return failed(device, f"the probe's process ended with code {code} and no answer{said}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(output: Path) -> str:
    with output.open("rb") as stream:
        stream.seek(max(0, output.stat().st_size - _TAIL_BYTES))
        lines = stream.read().decode("utf-8", "replace").split("\n")
    spoken = [line.strip() for line in lines if line.strip()]
    return spoken[-1][:200] if spoken else ""
