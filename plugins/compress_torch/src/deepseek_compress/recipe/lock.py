"""The locked recipe: every value resolved, with versions and hashes of what went in."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final

from deepseek_compress.recipe.chain import Chain, Link
from deepseek_core import compression

_LIBRARIES: Final = ("deepseek-core", "deepseek-compress", "torch", "onnx", "onnxruntime", "numpy")


def locked(
    recipe: compression.Recipe,
    chain: Chain,
    data: Mapping[str, str],
    model: Mapping[str, str],
) -> dict[str, Any]:
    """The recipe with every default, and what else decides the result: hashes by part."""
    table = recipe.to_table()
    table["step"] = [_resolved(link) for link in chain.steps]
    table["lower"] = [_resolved(link) for link in chain.targets]
    versions = versions_of(_LIBRARIES)
    return {key: value for key, value in table.items() if value} | {
        "locked": {"versions": versions, "data_sha256": dict(data), "model_sha256": dict(model)}
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
