"""Compressors that do nothing, with options."""

import attrs

from deepseek_core import Compressor, Packed, compression, errors


@attrs.frozen(kw_only=True)
class Options:
    share: float
    rounds: int = 3
    layers: tuple[str, ...] = ()

    def __attrs_post_init__(self):
        if self.share > 1:
            raise ValueError("share is above 1")


class Step(compression.ModelCompressor):
    def __init__(self, **options):
        self.options = options

    def plan(self, model, context):
        profile = compression.ModelProfile(parameters=0)
        return compression.StepPlan(step="step", before=profile, after=profile)

    def apply(self, model, plan, context):
        return compression.StepResult(model=model, profile=plan.after)


class Plain(Compressor):
    def pack(self, array):
        return Packed(data=array.tobytes(), dtype=array.dtype.name, shape=array.shape)

    def unpack(self, packed):
        raise NotImplementedError

    def error_bound(self, array):
        return 0.0


def broken():
    raise RuntimeError("no luck")


def is_here():
    pass


def is_missing():
    raise errors.DeviceUnavailable("no board", device_id="board", remedy="plug one in")
