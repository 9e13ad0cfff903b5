"""Batch-normalization statistics, taken again: what pruning has made wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from deepseek_compress.modules import call, copied
from deepseek_compress.samples.subsets import indexed
from deepseek_compress.train.batches import as_tensors
from deepseek_compress.train.options import RecoverOptions
from deepseek_compress.train.run import Run
from deepseek_compress.train.surroundings import (
    fixed_threads,
    kept_random_state,
    seed_all,
    stopping_between_batches,
)
from deepseek_core import compression, errors


def recover_bn(
    model: Any, samples: compression.Samples, options: RecoverOptions, run: Run
) -> tuple[Any, int]:
    """A copy whose running statistics are the means over some batches; how many were re-estimated.

    Weights stay as they are.

    Raises:
        InputError: the data do not fit the model, or the statistics come out NaN or infinite.
    """
    renewed = copied(model)
    norms = normalizations(renewed)
    if not norms:
        return renewed, 0
    with fixed_threads(run.threads), kept_random_state(), stopping_between_batches() as stop:
        seed = seed_all(run.seed)
        with _renewing(renewed, norms):
            _feed(renewed, samples, options, run, (seed, stop))
    for name, norm in norms.items():
        if not bool(norm.running_var.isfinite().all() and norm.running_mean.isfinite().all()):
            raise errors.InputError(
                f"statistics of {name} came out NaN or infinite",
                remedy="check the model's weights before this step",
            )
    return renewed, len(norms)


def normalizations(model: Any) -> dict[str, Any]:
    """Batch normalizations that keep running statistics, by name."""
    return {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.running_mean is not None
    }


@contextmanager
def _renewing(model: Any, norms: dict[str, Any]) -> Iterator[None]:
    """Everything as in inference, but for normalizations, which gather a plain mean."""
    momenta = {name: norm.momentum for name, norm in norms.items()}
    modes = [(part, part.training) for part in model.modules()]
    for part, _ in modes:
        part.training = False
    for norm in norms.values():
        norm.training = True
        norm.reset_running_stats()
        norm.momentum = None
    try:
        with torch.no_grad():
            yield
    finally:
        for name, norm in norms.items():
            norm.momentum = momenta[name]
        for part, mode in modes:
            part.training = mode


def _feed(
    model: Any,
    samples: compression.Samples,
    options: RecoverOptions,
    run: Run,
    order: tuple[int, Callable[[], None]],
) -> None:
    seed, stop = order
    whole = max(1, min(options.batches, len(samples) // options.batch_size))
    for done, (_, batch) in enumerate(indexed(samples, options.batch_size, seed)):
        if done == whole:
            break
        stop()
        call(model, as_tensors(batch, model).inputs)
        run.progress(done + 1, whole, f"batch {done + 1}/{whole}")
