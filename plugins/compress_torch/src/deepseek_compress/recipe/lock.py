"""The locked recipe: every value resolved, with versions and hashes of what went in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib import metadata
from typing import Any, Final

import numpy as np

from deepseek_compress.recipe.chain import Chain, Link
from deepseek_core import compression

_LIBRARIES: Final = ("deepseek-core", "deepseek-compress", "torch", "onnx", "onnxruntime", "numpy")


def locked(
    recipe: compression.Recipe, chain: Chain, data: Mapping[str, compression.Samples | None]
) -> dict[str, Any]:
    """The recipe with every default, and what else decides the result."""
    table = recipe.to_table()
    table["step"] = [_resolved(link) for link in chain.steps]
    table["lower"] = [_resolved(link) for link in chain.targets]
    versions = versions_of(_LIBRARIES)
    hashes = {name: data_hash(samples) for name, samples in data.items() if samples is not None}
    return {key: value for key, value in table.items() if value} | {
        "locked": {"versions": versions, "data_sha256": hashes}
    }


def _resolved(link: Link) -> dict[str, Any]:
    opened = link.opened
    options = {key: value for key, value in opened.options.items() if value is not None}
    begun_with = {"of": link.of} if link.of else {}
    return {"use": opened.spec.name, **begun_with, **options, "version": opened.version}


def versions_of(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of the distributions that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def data_hash(samples: compression.Samples) -> str:
    """sha256 of all samples in their own order: dtypes, shapes and bytes."""
    whole = sha256()
    for part in _parts(samples):
        whole.update(part)
    return whole.hexdigest()


def _parts(samples: compression.Samples) -> Iterator[bytes]:
    for batch in samples.batches(256):
        arrays = {**batch.inputs, **({"labels": batch.labels} if batch.labels is not None else {})}
        for name, array in arrays.items():
            yield f"{name} {array.dtype} {array.shape}".encode()
            yield np.ascontiguousarray(array).tobytes()
