"""Devices that live in a process of their own, which may abort in the middle of a run."""

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from importlib import import_module

from deepseek_core import Device, DeviceInfo, Executable, errors

LIVE = {}  # device id -> the open device
OPENED = []  # device ids, each time one is opened


class ChildDevice(Device):
    """Any device, in a child process; asks an instance in this process what it supports."""

    inner = "plain_devices:PlainDevice"

    def __init__(self, device_id, options):
        self._twin = _make(self.inner, device_id, options)
        self.info = self._twin.info
        self.workloads = self._twin.workloads
        self.abort_next = False
        self._lock = threading.Lock()
        self._child = subprocess.Popen(
            [sys.executable, __file__, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._ask("open", self.inner, device_id, options)
        LIVE[device_id] = self
        OPENED.append(device_id)

    def supports(self, operation):
        return self._twin.supports(operation)

    def estimate(self, task):
        return self._twin.estimate(task)

    def load(self, stage, options):
        self._ask("load", stage.name, stage, options)
        return ChildExecutable(self, stage)

    def to_host(self, value):
        return value

    def run(self, stage, inputs):
        abort, self.abort_next = self.abort_next, False
        return self._ask("run", stage.name, inputs, abort)

    def _ask(self, *message):
        try:
            with self._lock:
                pickle.dump(message, self._child.stdin)
                self._child.stdin.flush()
                kind, value = pickle.load(self._child.stdout)
        except (OSError, EOFError, ValueError) as error:
            raise errors.DeviceLost("its process is gone", device_id=self.info.id) from error
        if kind == "error":
            raise value
        return value

    def close(self):
        self._twin.close()
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            with contextlib.suppress(OSError):  # what was left for a dead process
                pipe.close()


class ChildExecutable(Executable):
    def __init__(self, device, stage):
        self._device, self.stage, self.device_id = device, stage, device.info.id

    def run(self, inputs):
        return self._device.run(self.stage, dict(inputs))

    def close(self):
        pass


class OnnxChild(ChildDevice):
    inner = "child_devices:onnx_device"


def onnx_device(device_id, options):
    """ONNX Runtime's CPU device under another id."""
    device = _make("deepseek_onnx.device:open_device", "onnx:cpu", options)
    device.info = _renamed(device.info, device_id)
    return device


def _renamed(info, device_id):
    import attrs

    return attrs.evolve(info, id=device_id)


def rows():
    return [DeviceInfo(id="child:0", kind="cpu", name="child", evidence="hardware")]


def _make(locator, device_id, options):
    module, _, name = locator.partition(":")
    return getattr(import_module(module), name)(device_id, options)


def serve():
    """The child's side: one message after the other until the parent goes."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    device, loaded = None, {}
    while True:
        try:
            kind, *rest = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        value = None
        try:
            if kind == "open":
                device = _make(*rest)
            elif kind == "load":
                loaded[rest[0]] = device.load(*rest[1:])
            else:
                name, inputs, abort = rest
                if abort:
                    os.abort()
                value = dict(loaded[name].run(inputs))
            answer = ("ok", value)
        except Exception as error:  # noqa: BLE001 - the parent must see it
            answer = ("error", RuntimeError(f"{type(error).__name__}: {error}"))
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    sys.path[:] = sys.argv[1:]
    serve()
