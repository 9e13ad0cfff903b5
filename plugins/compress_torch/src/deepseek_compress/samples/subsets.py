"""Parts of a data set: held-out shares, and the whole of it in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

import numpy as np

from deepseek_compress.samples.accept import checked
from deepseek_compress.samples.arrays import ArraySamples, Rows
from deepseek_compress.samples.items import ItemSamples
from deepseek_compress.samples.names import Expected
from deepseek_core import compression, errors

_LOOKED_AT: Final = 256  # samples of an epoch, to tell whether they vary


def split(
    samples: compression.Samples, share: float, seed: int
) -> tuple[compression.Samples, compression.Samples]:
    """The samples without a `share` of them, and that share; `seed` decides which.

    Raises:
        InputError: too few to hold any out, or samples that are drawn again in each epoch.
    """
    known = samples if isinstance(samples, ArraySamples | ItemSamples) else _still(samples)
    held_out = round(len(known) * share)
    if not 0 < held_out < len(known):
        raise errors.InputError(
            f"a share of {share:g} of {len(known)} samples is {held_out}",
            remedy="give more samples, or validation_share = 0.0",
        )
    order = np.random.default_rng(seed).permutation(len(known))
    return known.select(np.sort(order[held_out:])), known.select(np.sort(order[:held_out]))


def _still(samples: compression.Samples) -> ArraySamples:
    """All samples in memory, if they are the same in every epoch.

    Raises:
        InputError: some are not: kept in memory they would vary no more.
    """
    whole = gathered(samples)
    known = {_row_hash(whole.inputs, row) for row in range(len(whole))}
    batch = next(iter(samples.batches(_LOOKED_AT, seed=0)))
    if all(_row_hash(batch.inputs, row) in known for row in range(len(batch))):
        return whole
    raise errors.InputError(
        "the training samples are drawn again in each epoch: no share of them can be held out",
        remedy='add data.validation = "package.module:function", or validation_share = 0.0',
    )


def _row_hash(inputs: Mapping[str, Any], row: int) -> bytes:
    return b"".join(sha256(inputs[name][row].tobytes()).digest() for name in sorted(inputs))


def chosen(samples: compression.Samples, rows: Rows) -> ArraySamples:
    """The samples in these places, in memory; the others are not read where that can be told."""
    known = samples if isinstance(samples, ArraySamples | ItemSamples) else gathered(samples)
    return gathered(known.select(rows))


def gathered(samples: compression.Samples) -> ArraySamples:
    """All samples in memory."""
    batches = list(samples.batches(256))
    inputs = {name: np.concatenate([b.inputs[name] for b in batches]) for name in batches[0].inputs}
    labels = [batch.labels for batch in batches if batch.labels is not None]
    found = np.concatenate(labels) if labels else None
    return checked(inputs, found, Expected(where="the samples"))


def indexed(
    samples: compression.Samples, size: int, seed: int | None
) -> Iterator[tuple[Rows | None, compression.Batch]]:
    """Batches with the places of their samples, None where the samples do not tell them."""
    if isinstance(samples, ArraySamples | ItemSamples):
        yield from samples.indexed(size, seed=seed)
        return
    for batch in samples.batches(size, seed=seed):
        yield None, batch


def fingerprint(samples: Any) -> str:
    """What tells this data set from another one; its length where it says no more."""
    if isinstance(samples, ArraySamples | ItemSamples):
        return samples.fingerprint()
    return f"{len(samples)} samples"
