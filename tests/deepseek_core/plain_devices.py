"""Real devices for tests: plain numpy, slow on request, failing on request."""

import time

import numpy as np

from deepseek_core import (
    Concurrency,
    Device,
    DeviceInfo,
    Estimate,
    Executable,
    Support,
    errors,
)

FAILURES = {}  # device id -> exception to raise, or a list of them, one for each run
BEFORE = {}  # device id -> a function of the inputs of a run, called before it
LOG = []  # what was opened, loaded and closed


def info(device_id):
    return DeviceInfo(
        id=device_id, kind="cpu", name=device_id, evidence="hardware", fingerprint=device_id
    )


class PlainDevice(Device):
    """Knows `test::Double`, `test::Add` and, unless its id says so, `test::Square`."""

    def __init__(self, device_id, options):
        self.info, self.options = info(device_id), options
        self.closed = False
        LOG.append(("open", device_id))

    def supports(self, operation):
        if operation.domain != "test":
            return Support.no("only test operations")
        if operation.name == "Square" and "simple" in self.info.id:
            return Support.no("too simple to square")
        return Support.yes()

    def estimate(self, task):
        seconds = (2e-3 if "slow" in self.info.id else 1e-3) * task.batch
        return Estimate(seconds=seconds, sigma=1.0, source="prior")

    def concurrency(self, latency):
        return Concurrency(slots=2 if "wide" in self.info.id else 1)

    def load(self, stage, options):
        LOG.append(("load", self.info.id, stage.name))
        return PlainExecutable(stage, self.info.id)

    def to_host(self, value):
        return np.asarray(value)

    def close(self):
        if not self.closed:
            LOG.append(("close", self.info.id))
        self.closed = True


def computed(name, values):
    """What an operation makes of its inputs."""
    if name == "Add":
        return sum(values)
    return values[0] * 2 if name == "Double" else values[0] ** 2


class PlainExecutable(Executable):
    def __init__(self, stage, device_id):
        self.stage, self.device_id = stage, device_id

    def run(self, inputs):
        planned = FAILURES.get(self.device_id)
        error = planned.pop(0) if isinstance(planned, list) and planned else planned
        if isinstance(error, BaseException):
            raise error
        BEFORE.get(self.device_id, bool)(inputs)
        values = dict(inputs)
        for operation in self.stage.operations:
            time.sleep(operation.attributes.get("seconds", 0.0))
            taken = [values[spec.name] for spec in operation.inputs]
            values[operation.outputs[0].name] = computed(operation.name, taken)
        return {spec.name: values[spec.name] for spec in self.stage.outputs}

    def close(self):
        LOG.append(("free", self.device_id, self.stage.name))


def refuse(device_id, options):
    """A factory that raises what no contract foresees."""
    raise OSError("no such device node")


def lost(device_id):
    return errors.DeviceLost("the cable is out", device_id=device_id)
