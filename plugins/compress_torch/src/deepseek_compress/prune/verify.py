"""Masked equivalence: the pruned model against the whole one with the same channels zeroed."""

from __future__ import annotations

import logging

import attrs
import torch
from torch import Tensor, nn

from deepseek_compress.prune.apply import copy_of
from deepseek_compress.prune.run import tensors_in
from deepseek_compress.prune.trace import Example


@attrs.frozen(kw_only=True)
class Equivalence:
    """How far the pruned model is from the zeroed one.

    `difference`: the largest, `scale`: the largest magnitude of an output; `holds`: whether the
    difference is rounding; `inexact`: reasons why it may be more, by group.
    """

    difference: float
    scale: float
    holds: bool
    inexact: tuple[str, ...] = ()

    @property
    def relative(self) -> float:
        """The difference, as a share of the outputs' magnitude if that is above 1."""
        return self.difference / max(1.0, self.scale)


def compare(pruned: nn.Module, zeroed: nn.Module, example: Example) -> Equivalence:
    """Run both on the same inputs, in eval mode, and compare all outputs.

    Deep nets of random statistics can make rounding large: what differs is run in 64 bits again.
    """
    found = _compare(pruned, zeroed, example)
    if found.holds or not any(each.dtype == torch.float32 for each in zeroed.parameters()):
        return found
    try:
        return _compare(copy_of(pruned).double(), copy_of(zeroed).double(), _double(example))
    except Exception as error:  # noqa: BLE001 - a model that insists on 32 bits: the first comparison stands
        logging.getLogger(__name__).debug("not comparable in 64 bits: %s", error)
        return found


def _double(example: Example) -> Example:
    def wide(value: object) -> object:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    kwargs = {name: wide(value) for name, value in example.kwargs.items()}
    return Example(args=tuple(wide(each) for each in example.args), kwargs=kwargs)


def _compare(pruned: nn.Module, zeroed: nn.Module, example: Example) -> Equivalence:
    with torch.no_grad():
        ours = tensors_in(zeroed.eval()(*_own(example.args), **dict(example.kwargs)))
        theirs = tensors_in(pruned.eval()(*_own(example.args), **dict(example.kwargs)))
    if [each.shape for each in ours] != [each.shape for each in theirs]:
        return Equivalence(difference=float("inf"), scale=0.0, holds=False)
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.numel()]
    difference = max((_difference(a, b) for a, b in pairs), default=0.0)
    scale = max(
        (float(a.double().abs().nan_to_num().max()) for a, _ in pairs if not a.is_complex()),
        default=0.0,
    )
    coarsest = max((_epsilon(a) for a, _ in pairs), default=0.0)
    allowed = max(1e-5, 64 * coarsest) * max(1.0, scale)
    return Equivalence(difference=difference, scale=scale, holds=difference <= allowed)


def _own(args: tuple[object, ...]) -> tuple[object, ...]:
    """Copies, for models that write into their inputs."""
    return tuple(each.clone() if isinstance(each, Tensor) else each for each in args)


def _difference(a: Tensor, b: Tensor) -> float:
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)
    gap = (a.double() - b.double()).abs()
    same = (a == b) | (a.isnan() & b.isnan())
    gap = torch.where(same, torch.zeros_like(gap), gap)
    return float("inf") if bool(gap.isnan().any()) else float(gap.max())


def _epsilon(tensor: Tensor) -> float:
    """Rounding of half precision; that of 32 bits is inside the bar anyway."""
    if tensor.dtype in (torch.float16, torch.bfloat16):
        return float(torch.finfo(tensor.dtype).eps)
    return 0.0


def randomize_norms(model: nn.Module, seed: int = 0) -> None:
    """Give norms with running statistics values of a trained model, where they have defaults."""
    random = torch.Generator().manual_seed(seed)
    for module in model.modules():
        mean, var = getattr(module, "running_mean", None), getattr(module, "running_var", None)
        if not isinstance(mean, Tensor) or not isinstance(var, Tensor):
            continue
        with torch.no_grad():
            mean.add_((torch.randn(mean.shape, generator=random) * 0.2).to(mean))
            var.mul_((torch.rand(var.shape, generator=random) + 0.5).to(var))
            for name, low in (("weight", 0.5), ("bias", 0.0)):
                own = getattr(module, name, None)
                if isinstance(own, Tensor) and name == "weight":
                    own.mul_((torch.rand(own.shape, generator=random) + low).to(own))
                elif isinstance(own, Tensor):
                    own.add_((torch.randn(own.shape, generator=random) * 0.2).to(own))
