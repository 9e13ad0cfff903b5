"""A device `hangs` whose calls wait for its test, which says which and for how long."""

import contextlib
import threading
import time

import plain_devices

WHERE = set()  # of "run", "load", "warmup", "free", "close", and those of `HangingDevice`
GO = threading.Event()  # lets all that hang go on
HELD = []  # a word for each call that hung


def hold(call):
    if call in WHERE:
        HELD.append(call)
        GO.wait(60)


@contextlib.contextmanager
def released():
    """Nothing hangs before, and all that hangs is let go after."""
    for made in (plain_devices.FAILURES, plain_devices.BEFORE, plain_devices.LOG, HELD):
        made.clear()
    GO.clear()
    yield
    WHERE.clear()
    GO.set()


def in_time(call, most_s=5.0):
    """What a call gives, which does not take longer than that."""
    start_s = time.perf_counter()
    made = call()
    assert time.perf_counter() - start_s < most_s
    return made


def until(condition):
    end_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


class HangingDevice(plain_devices.PlainDevice):
    """Thinks that it is the faster one; one that is called `wide` has two slots."""

    def __init__(self, device_id, options):
        if device_id.startswith("hangs"):
            hold("open")
        super().__init__(device_id, options)

    @property
    def hangs(self):
        return self.info.id.startswith("hangs")

    def supports(self, operation):
        if self.hangs:
            hold("supports")
        return super().supports(operation)

    def estimate(self, task):
        if self.hangs:
            hold("estimate")
        return super().estimate(task)

    def concurrency(self, latency):
        if self.hangs:
            hold("concurrency")
        return super().concurrency(latency)

    def load(self, stage, options):
        if not self.hangs:
            return super().load(stage, options)
        hold("load")
        return HangingExecutable(stage, self.info.id)

    def close(self):
        if self.hangs:
            hold("close")
        super().close()


class HangingExecutable(plain_devices.PlainExecutable):
    def run(self, inputs):
        late = "run" in WHERE
        hold("run")
        made = super().run(inputs)
        # What comes after it was given up must reach nobody.
        return {name: value - 1e6 for name, value in made.items()} if late else made

    def warmup(self, batch):
        hold("warmup")

    def close(self):
        hold("free")
        super().close()
