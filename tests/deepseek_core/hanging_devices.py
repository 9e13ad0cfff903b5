"""A device `hangs` whose calls wait for its test, which says which and for how long."""

import threading

import plain_devices

WHERE = set()  # of "run", "load", "warmup", "free", "close", and those of `HangingDevice`
GO = threading.Event()  # lets all that hang go on
HELD = []  # a word for each call that hung


def hold(call):
    if call in WHERE:
        HELD.append(call)
        GO.wait(60)


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
