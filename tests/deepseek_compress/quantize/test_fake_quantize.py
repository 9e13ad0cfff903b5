"""Fake quantization: values as integers give them, gradients as LSQ says."""

import numpy as np
import pytest
import torch

from deepseek_compress.qspec import TensorRange, WeightScales
from deepseek_compress.quantize.fake_quantize import (
    QuantizedActivation,
    QuantizedWeight,
    fake_quantize,
)


def values(count=400, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=draw)


def gradients(x, scale, low, high, weights):
    x, scale = x.clone().requires_grad_(), scale.clone().requires_grad_()
    (fake_quantize(x, scale, low, high) * weights).sum().backward()
    return x.grad, scale.grad


@pytest.mark.parametrize(("low", "high"), [(-3, 3), (0, 15), (-7, 8), (-127, 127)])
def test_values_are_those_of_integers(low, high):
    x, scale = values(), 0.23
    expected = np.clip(np.rint(x.numpy() / np.float32(scale)), low, high) * np.float32(scale)
    np.testing.assert_array_equal(fake_quantize(x, torch.tensor(scale), low, high), expected)


def test_the_gradient_passes_where_nothing_is_clipped():
    x, scale, weights = values(), torch.tensor(0.3), values(seed=1)
    found, _ = gradients(x, scale, -3, 3, weights)
    inside = (x / scale).abs() <= 3
    assert 0 < inside.sum() < len(x)
    torch.testing.assert_close(found, weights * inside)


def test_the_scales_gradient_of_clipped_values_is_that_of_finite_differences():
    """There y = scale * bound, which is smooth, so the true derivative is known."""
    x, scale, weights = values() * 100, torch.tensor(0.3), values(seed=1)
    x = x[(x / scale).abs() > 10]
    weights, step = weights[: len(x)], 1e-2
    up, down = (fake_quantize(x, scale + d, -3, 3) * weights for d in (step, -step))
    _, found = gradients(x, scale, -3, 3, weights)
    expected = ((up - down).sum() / (2 * step)).item()
    assert found.item() == pytest.approx(expected, rel=1e-3)


def test_the_scales_gradient_elsewhere_is_that_of_the_straight_through_estimator():
    """Finite differences in float64 of what the estimator stands for.

    That is y = s * (round(x / s0) + x / s - x / s0): rounding moves along with its argument.
    """
    x, start, weights = values().double(), 0.3, values(seed=1).double()
    x = x[(x / start).abs() < 2.9]
    weights, step = weights[: len(x)], 1e-6

    def estimated(s):
        return (s * ((x / start).round() + x / s - x / start) * weights).sum()

    expected = (estimated(start + step) - estimated(start - step)) / (2 * step)
    _, found = gradients(x.float(), torch.tensor(start), -3, 3, weights.float())
    assert found.item() == pytest.approx(expected.item(), rel=1e-3)


def test_each_channels_scale_has_its_own_gradient():
    x, weights = values(60).reshape(3, 20), values(60, 1).reshape(3, 20)
    scale = torch.tensor([[0.1], [0.2], [0.4]])
    _, found = gradients(x, scale, -3, 3, weights)
    for row in range(3):
        _, alone = gradients(x[row], scale[row, 0], -3, 3, weights[row])
        assert found[row, 0].item() == pytest.approx(alone.item(), rel=1e-5)


def test_a_step_size_stays_positive_and_starts_as_given():
    part = QuantizedWeight(WeightScales(scales=(0.1, 0.0, 0.02), axis=0), 0)
    assert part.scale().tolist() == pytest.approx([0.1, 0.1, 0.02])
    with torch.no_grad():
        part.moved.fill_(-5.0)
    assert (part.scale() >= 0).all()
    with torch.no_grad():
        part.moved.fill_(1e-3)  # near the start it is an addition
    assert part.scale().tolist() == pytest.approx([0.101, 0.101, 0.021], rel=1e-2)


@pytest.mark.parametrize("pull", [-1e6, 1e6])
def test_a_step_size_stays_near_its_start_and_finds_back(pull):
    """One that ran away cut off all that passed, for good."""
    part = QuantizedActivation(TensorRange(min=0, max=5.1), signed=False)
    start = part.scale().item()
    optimizer = torch.optim.SGD(part.parameters(), lr=0.01)
    for slope in (pull, -pull):
        for _ in range(200):
            optimizer.zero_grad()
            (part.scale() * slope).backward()
            torch.nn.utils.clip_grad_norm_(part.parameters(), 1.0)
            optimizer.step()
            assert start / 8.01 < part.scale().item() < start * 8.01
        assert (part.scale().item() - start) * slope < 0


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("ends", [(0.0, 5.0), (-1.0, 3.0), (-4.0, -1.0), (0.0, 0.0), (2.0, 3.0)])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_what_was_not_trained_is_the_range_that_was_given(signed, ends, bits):
    """The integers of its range are those that it rounds to."""
    given = TensorRange(min=ends[0], max=ends[1], bits=bits)
    learned = QuantizedActivation(given, signed=signed).learned()
    assert learned.source == "learned"
    if signed:
        assert learned.symmetric() == pytest.approx(given.symmetric(), rel=1e-6)
    else:
        (scale, zero), (expected, point) = learned.affine(), given.affine()
        assert scale == pytest.approx(expected, rel=1e-6)
        assert zero == point


def test_a_weight_keeps_its_dtype_and_shape():
    weight = torch.randn(4, 3, 2, dtype=torch.bfloat16)
    part = QuantizedWeight(WeightScales(scales=[0.5] * 3, axis=1, bits=3), 1)
    found = part(weight)
    assert (found.dtype, found.shape) == (weight.dtype, weight.shape)
    assert set((found / 0.5).abs().flatten().tolist()) <= {0.0, 1.0, 2.0, 3.0}
