"""The gradients of all ranks, added in flat buckets and divided by the count of all items."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from deepseek_parallel.errors import NotFiniteGradient
from deepseek_parallel.ranks import Ranks
from deepseek_parallel.trainer.together import add, gathered

_BUCKET_NBYTES: Final = 25 * 2**20
Named = tuple[str, Any]


def average(params: Sequence[Named], count: float, ranks: Ranks, clip: float | None) -> float:
    """Let each `grad` be the sum over all ranks, divided by `count`; their norm before a clip.

    `params` have a gradient on one rank at least. They are added in float32, and clipped to the
    global norm `clip`. After an error the gradients are as they were.

    Raises:
        NotFiniteGradient: of a parameter on some rank; on all ranks at once.
        RankLost: another rank does not answer.
    """
    flats = [_flat(bucket, ranks) for bucket in _buckets(params, ranks)]
    norm = math.sqrt(sum(_square(flat) for flat, _ in flats)) / count
    if not math.isfinite(norm):
        raise _bad(params, ranks)
    scale = 1 / count
    if clip is not None:
        scale *= min(1.0, clip / (norm + 1e-6))
    for flat, bucket in flats:
        flat.mul_(scale)
        if bucket:
            _give(flat, bucket)
    return norm


def _buckets(params: Sequence[Named], ranks: Ranks) -> Iterator[list[Named]]:
    """Neighbors of one kind, up to 25 MiB together; each for itself where nothing is sent."""
    bucket: list[Named] = []
    nbytes, kind = 0, None
    for name, param in params:
        alike = (_dtype(param), param.device)
        size = _numel(param) * alike[0].itemsize
        full = ranks.group is None or alike != kind or nbytes + size > _BUCKET_NBYTES
        if bucket and full:
            yield bucket
            bucket, nbytes = [], 0
        bucket.append((name, param))
        nbytes, kind = nbytes + size, alike
    if bucket:
        yield bucket


def _flat(bucket: list[Named], ranks: Ranks) -> tuple[Tensor, list[Named]]:
    """The sum over all ranks, and whose it is; alone, the gradient in place."""
    first = bucket[0][1]
    if ranks.group is None:
        if first.grad.layout != torch.strided:
            first.grad = first.grad.coalesce()
        return _values(first.grad), []
    sizes = [_numel(param) for _, param in bucket]
    flat = torch.zeros(sum(sizes), dtype=_dtype(first), device=first.device)
    for part, (_, param) in zip(flat.split(sizes), bucket, strict=True):
        if param.grad is not None:
            part.copy_(_real(_dense(param.grad)).reshape(-1))
    add(flat, ranks)
    return flat, bucket


def _give(flat: Tensor, bucket: list[Named]) -> None:
    """Let the gradients be their parts of a bucket."""
    parts = flat.split([_numel(param) for _, param in bucket])
    for part, (_, param) in zip(parts, bucket, strict=True):
        values = torch.view_as_complex(part.view(-1, 2)) if param.is_complex() else part
        param.grad = values.view(param.shape).to(param.dtype)


def _dtype(param: Tensor) -> torch.dtype:
    """What gradients are added in."""
    return torch.float64 if param.dtype in (torch.float64, torch.complex128) else torch.float32


def _numel(param: Tensor) -> int:
    """Numbers of a gradient: a complex one has two."""
    return int(param.numel()) * (2 if param.is_complex() else 1)


def _real(grad: Tensor) -> Tensor:
    return torch.view_as_real(grad) if grad.is_complex() else grad


def _dense(grad: Tensor) -> Tensor:
    return grad.to_dense() if grad.layout != torch.strided else grad


def _values(grad: Tensor) -> Tensor:
    """What a gradient holds, in place; a sparse one only what is not zero."""
    return _real(grad if grad.layout == torch.strided else grad._values())


def _square(flat: Tensor) -> float:
    norm = torch.linalg.vector_norm(flat, dtype=torch.float64)
    return float(norm) ** 2


def _bad(params: Iterable[Named], ranks: Ranks) -> NotFiniteGradient:
    found = next(((n, name) for n, (name, p) in enumerate(params) if not _is_finite(p.grad)), None)
    return not_finite(found, ranks)


def not_finite(found: tuple[int, str] | None, ranks: Ranks) -> NotFiniteGradient:
    """The error of all ranks, of which some have `found` a parameter, by number and name.

    The sum of finite gradients may be too large as well.
    """
    told = gathered(found, ranks)
    rank = next((rank for rank, one in enumerate(told) if one is not None), 0)
    number, name = told[rank] or (0, "")
    what = f"the gradient of {name} on rank {rank}" if name else "the sum of all gradients"
    return NotFiniteGradient(
        f"{what} holds NaN or infinity; no rank has taken the step",
        rank=rank,
        parameter=number,
        remedy="lower the learning rate, set clip=1.0, or look at the samples of this step",
    )


def _is_finite(grad: Tensor | None) -> bool:
    return grad is None or bool(torch.isfinite(_values(grad)).all())
