"""Devices whose runs tell how a server cut and joined what it gave them."""

import numpy as np
import plain_devices


class StateDevice(plain_devices.PlainDevice):
    """Adds `x` and the transpose of `state`."""

    def load(self, stage, options):
        return _StateExecutable(stage, self.info.id)


class _StateExecutable(plain_devices.PlainExecutable):
    def run(self, inputs):
        return {"s": inputs["x"] + inputs["state"].T}


class GrowingDevice(plain_devices.PlainDevice):
    """Gives outputs whose second axis is longer each time."""

    def load(self, stage, options):
        return _GrowingExecutable(stage, self.info.id)


class _GrowingExecutable(plain_devices.PlainExecutable):
    width = 0

    def run(self, inputs):
        self.width += 1
        made = super().run(inputs)
        return {name: np.repeat(value[:, :1], self.width, axis=1) for name, value in made.items()}
