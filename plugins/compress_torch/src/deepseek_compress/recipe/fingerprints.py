"""What went in, read once: a hash of each data set, and whether the test is unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b, sha256
from typing import Final

import attrs
import numpy as np

from deepseek_compress.recipe.seeded import seeded
from deepseek_core import compression

_TOLD: Final = 0.01
"""Share of the test samples from which on it is told that training saw them."""


@attrs.frozen(kw_only=True, eq=False)
class Fingerprint:
    """sha256 of a data set in its own order, and a short hash of each sample's inputs."""

    sha256: str
    samples: tuple[bytes, ...]


def fingerprints(data: Mapping[str, compression.Samples | None]) -> dict[str, Fingerprint]:
    """Fingerprint each data set that there is.

    What is drawn again at each read, as by augmentation, is drawn from one seed here.
    """
    found = {}
    for name, samples in data.items():
        if samples is not None:
            with seeded(0):
                found[name] = _read(samples)
    return found


def _read(samples: compression.Samples) -> Fingerprint:
    whole, rows = sha256(), []
    for batch in samples.batches(256):
        for part in _parts(batch):
            whole.update(part)
        inputs = [np.ascontiguousarray(array) for array in batch.inputs.values()]
        for row in range(len(batch)):
            one = blake2b(digest_size=8)
            for array in inputs:
                one.update(array[row].tobytes())
            rows.append(one.digest())
    return Fingerprint(sha256=whole.hexdigest(), samples=tuple(rows))


def _parts(batch: compression.Batch) -> Iterator[bytes]:
    """Dtypes, shapes and bytes."""
    arrays = {**batch.inputs, **({"labels": batch.labels} if batch.labels is not None else {})}
    for name, array in arrays.items():
        yield f"{name} {array.dtype} {array.shape}".encode()
        yield np.ascontiguousarray(array).tobytes()


def not_unseen(found: Mapping[str, Fingerprint], metric: str) -> tuple[str, ...]:
    """Sentences on test samples that models know: trained on, chosen by, or compared with."""
    told = {
        "training has seen": ("train", "validation"),
        "data.reference holds": ("reference",),
    }
    counts = {words: _of_test(found, names) for words, names in told.items()}
    of = len(found["test"].samples) if "test" in found else 0
    return tuple(
        f"{metric} on unseen samples: {words} {shared} of {of} test samples"
        for words, shared in counts.items()
        if shared and shared >= _TOLD * of
    )


def _of_test(found: Mapping[str, Fingerprint], names: Iterable[str]) -> int:
    """How many test samples are in these data sets, too."""
    known = {row for name in names if name in found for row in found[name].samples}
    return sum(row in known for row in found["test"].samples) if "test" in found else 0
