"""Fake quantization whose step size is learned: integers in value, floats in type.

y = s * clip(round(x / s), low, high). The gradient passes to x where it is not clipped; to s it is
round(x / s) - x / s there, and low or high elsewhere, times a factor that makes a step size move as
fast as weights do (Esser 2020, LSQ, 1902.08153).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import torch

from deepseek_compress.qspec import TensorRange, WeightScales


class _Lsq(torch.autograd.Function):
    """The rounding with its gradients; `low` and `high` already have the zero point taken off."""

    @staticmethod
    def forward(ctx: Any, x: Any, scale: Any, bounds: tuple[int, int], factor: float) -> Any:
        low, high = bounds
        steps = x / scale
        ctx.save_for_backward(steps, scale)
        ctx.bounds, ctx.factor = bounds, factor
        return steps.round().clamp_(low, high).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        steps, scale = ctx.saved_tensors
        low, high = ctx.bounds
        inside = (steps >= low) & (steps <= high)
        error = steps.round().clamp_(low, high) - torch.where(inside, steps, 0.0)
        of_scale = (gradient * error).sum_to_size(scale.shape) * ctx.factor
        return gradient * inside, of_scale, None, None


def fake_quantize(x: Any, scale: Any, low: int, high: int, factor: float = 1.0) -> Any:
    """`x` in steps of `scale` (a shape that `x` broadcasts), from `low` to `high` of them."""
    return _Lsq.apply(x.float(), scale, (low, high), factor)


_MOST_MOVED: Final = math.log(8)


class _StepSize(torch.nn.Module):
    """A positive step size that is trained.

    It is start * exp(moved / start): at first `moved` is as good as the step size itself, which is
    what the factor of the gradient is made for, and it never becomes 0 or negative. It is kept
    within a factor of 8: one that shrinks further cuts off all that passes, for good.
    """

    def __init__(self, start: Any) -> None:
        super().__init__()
        self.register_buffer("start", torch.as_tensor(start, dtype=torch.float32))
        self.moved = torch.nn.Parameter(torch.zeros_like(self.start))

    def scale(self) -> Any:
        """The step size as it is now."""
        with torch.no_grad():  # the parameter itself, so that its next move counts at once
            most = _MOST_MOVED * self.start
            self.moved.clamp_(-most, most)
        return self.start * torch.exp(self.moved / self.start)


class QuantizedActivation(_StepSize):
    """A tensor in `bits` bits: unsigned with a zero point that stays, or signed without one."""

    def __init__(self, found: TensorRange, *, signed: bool) -> None:
        scale, zero = (found.symmetric(), 0) if signed else found.affine()
        super().__init__(float(scale))
        self.bits, self.negative = found.bits, found.min < 0
        top = 2 ** (found.bits - 1) - 1 if signed else 2**found.bits - 1
        self.low, self.high = (-top if signed else -zero), top - zero

    def forward(self, x: Any) -> Any:
        """The tensor, rounded and clipped; its first axis is the batch."""
        features = max(1, x.numel() // max(1, x.shape[0] if x.ndim else 1))
        factor = 1.0 / math.sqrt(features * max(self.high, -self.low))
        return fake_quantize(x, self.scale(), self.low, self.high, factor).to(x.dtype)

    def learned(self) -> TensorRange:
        """The range that it reaches now."""
        scale = float(self.scale().detach())
        low = self.low * scale if self.negative else 0.0
        return TensorRange(min=low, max=self.high * scale, bits=self.bits, source="learned")


class QuantizedWeight(_StepSize):
    """A weight in `bits` bits, with a step size for each entry along `axis`."""

    def __init__(self, found: WeightScales, axis: int) -> None:
        scales = np.asarray(found.scales, np.float32)
        largest = scales.max() if scales.max() > 0 else np.float32(1.0)
        super().__init__(np.where(scales > 0, scales, largest))
        self.axis, self.bits, self.levels = axis, found.bits, found.levels

    def forward(self, weight: Any) -> Any:
        """The weight, rounded and clipped."""
        shape = [1] * weight.ndim
        shape[self.axis] = -1
        factor = 1.0 / math.sqrt(weight.numel() / weight.shape[self.axis] * self.levels)
        scale = self.scale().reshape(shape)
        return fake_quantize(weight, scale, -self.levels, self.levels, factor).to(weight.dtype)

    def learned(self, axis: int) -> WeightScales:
        """The scales as they are now, for a weight whose channels lie along `axis`."""
        scales = self.scale().detach().tolist()
        return WeightScales(scales=scales, axis=axis, bits=self.bits, source="learned")
