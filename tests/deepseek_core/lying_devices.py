"""A device that keeps no promise; what it does wrong is set by its test."""

import plain_devices

from deepseek_core import Concurrency, Estimate

HOW = {}  # what the liar does in place of what it should: method -> function


def done(method, usual):
    return HOW[method]() if method in HOW else usual()


class LyingDevice(plain_devices.PlainDevice):
    """Honest but for the device `liar`, which guesses to be the fastest."""

    def __init__(self, device_id, options):
        super().__init__(device_id, options)
        if device_id == "liar" and "info" in HOW:
            self.info = HOW["info"]()

    @property
    def lies(self):
        return self.info is None or self.info.id != "honest"

    def supports(self, operation):
        usual = super().supports
        return done("supports", lambda: usual(operation)) if self.lies else usual(operation)

    def estimate(self, task):
        if not self.lies:
            return super().estimate(task)
        return done("estimate", lambda: Estimate(seconds=1e-6, sigma=1.0, source="prior"))

    def concurrency(self, latency):
        return done("concurrency", Concurrency) if self.lies else Concurrency()

    def telemetry(self):
        return done("telemetry", dict) if self.lies else {"temperature_c": 41.5, "fan_hz": None}

    def load(self, stage, options):
        if not self.lies:
            return super().load(stage, options)
        return done("load", lambda: LyingExecutable(stage, self.info.id))

    def close(self):
        super().close()
        done("close", lambda: None)


class LyingExecutable(plain_devices.PlainExecutable):
    def run(self, inputs):
        made = super().run(inputs)
        return HOW["run"](made) if "run" in HOW else made

    def warmup(self, batch):
        done("warmup", lambda: None)

    def close(self):
        done("free", super().close)
