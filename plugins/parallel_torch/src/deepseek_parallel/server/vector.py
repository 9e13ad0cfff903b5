"""Parameters, or their gradients, as one vector of float32 bytes, and back."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from deepseek_core import errors


def checked(params: Iterable[Tensor]) -> list[Tensor]:
    """The parameters that are trained.

    Raises:
        ConfigError: there is none, or one that float32 can't hold.
    """
    found = [param for param in params if param.requires_grad]
    if not found:
        raise errors.ConfigError(
            "no parameter is trained", remedy="give model.parameters() that require a gradient"
        )
    for number, param in enumerate(found):
        if not param.is_floating_point() or param.dtype == torch.float64:
            raise errors.ConfigError(
                f"parameter {number} is of {param.dtype}, and float32 is what is sent",
                remedy="train it in float32 or bfloat16: model.float()",
            )
    return found


def nbytes_of(params: Sequence[Tensor]) -> int:
    """Bytes of all of them."""
    return 4 * sum(int(param.numel()) for param in params)


def layout(params: Sequence[Tensor]) -> int:
    """Equal where the shapes and their order are."""
    return zlib.crc32(repr([tuple(param.shape) for param in params]).encode())


def weights(params: Sequence[Tensor]) -> Tensor:
    """The values of all parameters; float32 [their elements]."""
    return _flat([param.detach() for param in params])


def gradients(params: Sequence[Tensor]) -> Tensor:
    """Their gradients; zeros of one that has none; float32 [their elements]."""
    return _flat([torch.zeros_like(p) if p.grad is None else _dense(p.grad) for p in params])


def bytes_of(flat: Tensor) -> bytes:
    """A vector as it is sent."""
    data: bytes = flat.numpy().tobytes()
    return data


def put_weights(params: Sequence[Tensor], flat: Tensor) -> None:
    """Let the parameters have these values; float32 [parameters' elements]."""
    with torch.no_grad():
        for param, part in _parts(params, flat):
            param.copy_(part)


def put_gradients(params: Sequence[Tensor], flat: Tensor) -> None:
    """Let them have these gradients; float32 [parameters' elements]."""
    for param, part in _parts(params, flat):
        param.grad = part.to(param, copy=True)


def flat_of(data: bytearray) -> Tensor:
    """What was received, float32 [parameters' elements], in place."""
    return torch.frombuffer(data, dtype=torch.float32)


def not_finite(params: Sequence[Tensor], flat: Tensor) -> int | None:
    """The first parameter whose part holds NaN or infinity."""
    if bool(torch.isfinite(flat.sum())) or bool(torch.isfinite(flat).all()):
        return None
    parts = flat.split([param.numel() for param in params])
    return next(n for n, part in enumerate(parts) if not torch.isfinite(part).all())


def _parts(params: Sequence[Tensor], flat: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
    parts = flat.split([param.numel() for param in params])
    for param, part in zip(params, parts, strict=True):
        yield param, part.view(param.shape)


def _dense(grad: Tensor) -> Tensor:
    return grad.to_dense() if grad.layout != torch.strided else grad


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1).to("cpu", torch.float32) for tensor in tensors])
