"""A sound device of plain numpy with a cache, and the others.

Each device is a class whose name gives its id; it knows `bad::Double` and the standard `Abs`.
"""

import json
import random
import socket
import subprocess
import threading
import time

import attrs
import numpy as np

from bad_samples.devices_probe import probe
from deepseek_core import Device, Estimate, Executable, Support, errors

OPEN = []


class Left:
    """A tensor that stays on the device."""

    def __init__(self, array):
        self.array, self.dtype, self.shape = array, array.dtype, array.shape


class Loaded(Executable):
    def __init__(self, stage, device):
        self.stage, self.device, self.device_id = stage, device, device.info.id
        self.closed = False

    def compute(self, x):
        if self.stage.operations[0].name == "Abs":
            return np.abs(x)
        return x * self.device.factor

    def run(self, inputs):
        if self.closed or self.device.closed:
            raise errors.DeviceClosed("closed", device_id=self.device_id)
        (x,) = (inputs[spec.name] for spec in self.stage.inputs)
        x = x.array if isinstance(x, Left) else x
        return {self.stage.outputs[0].name: self.compute(x)}

    def run_kept(self, inputs, keep):
        made = self.run(inputs)
        return {name: Left(a.copy()) if name in keep else a for name, a in made.items()}

    def close(self):
        self.closed = True


class Sound(Device):
    executable = Loaded
    keeps_tensors = True

    def __init__(self, device_id, options):
        known = {info.id: info for info in probe()}
        if device_id not in known:
            raise errors.DeviceUnavailable(f"there is no {device_id}", device_id=device_id)
        self.info = known[device_id]
        self.closed = False
        self.cache = options.cache_dir / "factor.json"
        self.factor = self.cached() if self.cache.exists() else 2

    def cached(self):
        try:
            return self.read_cache()
        except (ValueError, KeyError):
            return 2

    def read_cache(self):
        return json.loads(self.cache.read_bytes())["factor"]

    def supports(self, operation):
        if (operation.domain, operation.name) in (("bad", "Double"), ("", "Abs")):
            return Support.yes()
        return Support.no("doubles only")

    def estimate(self, task):
        return Estimate(seconds=1e-6 * task.batch, sigma=1.0, source="prior")

    def load(self, stage, options):
        if self.closed:
            raise errors.DeviceClosed("closed", device_id=self.info.id)
        self.check(stage)
        return self.executable(stage, self)

    def check(self, stage):
        if not all(Sound.supports(self, operation) for operation in stage.operations):
            raise errors.Unsupported("doubles only", device_id=self.info.id)

    def to_host(self, value):
        return value.array.copy() if isinstance(value, Left) else np.asarray(value)

    def close(self):
        if not self.closed:
            self.cache.write_text(json.dumps({"factor": 2}))
        self.closed = True


class HasNoFingerprint(Sound):
    """What is wrong stands in its row."""


class ChangesItsKind(Sound):
    def __init__(self, device_id, options):
        super().__init__(device_id, options)
        self.info = attrs.evolve(self.info, kind="gpu")


class RefusesInSilence(Sound):
    def supports(self, operation):
        return super().supports(operation) or Support.no("")


class DisownsItsWork(Sound):
    def supports(self, operation):
        if operation.domain == "bad":
            return Support.no("too much work")
        return super().supports(operation)


class GetsCheaper(Sound):
    def estimate(self, task):
        return Estimate(seconds=1e-3 / task.batch, sigma=1.0, source="prior")


class CoolsDown(Sound):
    class executable(Loaded):
        def warmup(self, batch):
            self.device.factor = 0


class BorrowsAName(Sound):
    class executable(Loaded):
        def __init__(self, stage, device):
            super().__init__(stage, device)
            self.device_id = "bad:sound"


class HandsOutLists(Sound):
    keeps_tensors = False

    def to_host(self, value):
        return value.tolist()


class WantsItDense(Sound):
    class executable(Loaded):
        def compute(self, x):
            if not x.flags.c_contiguous:
                raise errors.TensorMismatch("not dense")
            return super().compute(x)


class ReusesItsOutput(Sound):
    class executable(Loaded):
        output = None

        def compute(self, x):
            result = super().compute(x)
            if self.output is None or self.output.shape != result.shape:
                self.output = np.empty_like(result)
            self.output[...] = result
            return self.output


class OverwritesWhatStays(Sound):
    class executable(Loaded):
        left = ()

        def run(self, inputs):
            made = super().run(inputs)
            for each in self.left:
                each.array.fill(0)
            return made

        def run_kept(self, inputs, keep):
            made = super().run_kept(inputs, keep)
            self.left = [value for value in made.values() if isinstance(value, Left)]
            return made


class HandsBackItsInput(Sound):
    class executable(Loaded):
        def compute(self, x):
            made = super().compute(x)
            return x if np.array_equal(made, x) else made


class GivesTooMuch(Sound):
    class executable(Loaded):
        def run(self, inputs):
            return {**super().run(inputs), "scratch": np.zeros(3)}


class BindsValues(Sound):
    class executable(Loaded):
        def bind(self, inputs, outputs):
            return super().bind({name: array.copy() for name, array in inputs.items()}, outputs)


class NeedsAnItem(Sound):
    class executable(Loaded):
        def compute(self, x):
            if not x.size:
                raise errors.TensorMismatch("no item")
            return super().compute(x)


class HidesAnOperator(Sound):
    """Its record is what is wrong."""


class LooksAtTheCrowd(Sound):
    class executable(Loaded):
        def compute(self, x):
            return super().compute(x) + (len(x) == 1)


class LoadsAnything(Sound):
    def check(self, stage):
        pass


class ReadsInProse(Sound):
    def telemetry(self):
        return {"how warm it is": 41.0}


class AnswersToAnyName(Sound):
    def __init__(self, device_id, options):
        super().__init__("bad:answers_to_any_name", options)


class ServesOneThread(Sound):
    class executable(Loaded):
        def __init__(self, stage, device):
            super().__init__(stage, device)
            self.owner = threading.get_ident()

        def run(self, inputs):
            if threading.get_ident() != self.owner:
                raise RuntimeError("another thread")
            return super().run(inputs)


class RunsWhenClosed(Sound):
    class executable(Loaded):
        def close(self):
            pass


class ClosesItsNeighbors(Sound):
    def __init__(self, device_id, options):
        super().__init__(device_id, options)
        self.loaded = []

    class executable(Loaded):
        def __init__(self, stage, device):
            super().__init__(stage, device)
            device.loaded.append(self)

        def close(self):
            for loaded in self.device.loaded:
                loaded.closed = True


class LoadsWhenClosed(Sound):
    def load(self, stage, options):
        self.check(stage)
        return self.executable(stage, self)


class SharesItsEnd(Sound):
    ended = False

    def __init__(self, device_id, options):
        super().__init__(device_id, options)
        SharesItsEnd.ended = False

    def close(self):
        super().close()
        SharesItsEnd.ended = True

    class executable(Loaded):
        def run(self, inputs):
            self.closed = self.closed or SharesItsEnd.ended
            return super().run(inputs)


class LeavesAFileOpen(Sound):
    def __init__(self, device_id, options):
        super().__init__(device_id, options)
        OPEN.append(open(__file__))  # noqa: SIM115, PTH123 - that is its fault


class MisreadsItsCache(Sound):
    def read_cache(self):
        return super().read_cache() + 1


class TrustsItsCache(Sound):
    def cached(self):
        return self.read_cache()


class RoundsToZero(Sound):
    class executable(Loaded):
        def compute(self, x):
            right = super().compute(x)
            return np.floor(right) if self.stage.operations[0].name == "Abs" else right


class WorksInBlocks(Sound):
    class executable(Loaded):
        def compute(self, x):
            made = super().compute(x)
            made[1024:] = 0
            return made


class WorksInPairs(Sound):
    class executable(Loaded):
        def compute(self, x):
            made = super().compute(x)
            if len(x) > 8:
                made[len(x) // 2 * 2 :] = 0
            return made


class RollsDice(Sound):
    def estimate(self, task):
        seconds = 1e-6 * task.batch * random.SystemRandom().uniform(1, 1.5)
        return Estimate(seconds=seconds, sigma=1.0, source="prior")


class Scribbles(Sound):
    class executable(Loaded):
        def compute(self, x):
            made = super().compute(x)
            if x.flags.writeable:
                x[x == 0] = -0.0
            return made


class WearsOut(Sound):
    class executable(Loaded):
        runs = 0

        def compute(self, x):
            self.runs += 1
            return super().compute(x) + (self.runs > 150)


class KeepsALog(Sound):
    class executable(Loaded):
        def __init__(self, stage, device):
            super().__init__(stage, device)
            self.log = []

        def run(self, inputs):
            made = super().run(inputs)
            self.log.append(time.monotonic())
            return made


class SetsTheSeed(Sound):
    class executable(Loaded):
        def compute(self, x):
            random.seed(0)
            return super().compute(x)


class WritesALog(Sound):
    def load(self, stage, options):
        with open("device.log", "a") as log:  # noqa: PTH123
            log.write("loads\n")
        return super().load(stage, options)


class ReportsHome(Sound):
    def load(self, stage, options):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.connect(("127.0.0.1", 9))
        return super().load(stage, options)


class LeavesAHelper(Sound):
    def __init__(self, device_id, options):
        super().__init__(device_id, options)
        subprocess.Popen(["sleep", "15"], stdin=subprocess.DEVNULL)
