"""The locked recipe: every value resolved, with versions and hashes of what went in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from typing import Any, Final

from deepseek_compress.recipe.chain import Chain, Link
from deepseek_core import compression

_DISTRIBUTIONS: Final = (
    "deepseek-core",
    "deepseek-compress",
    "torch",
    "onnx",
    "onnxruntime",
    "numpy",
)


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
    versions = versions_of(chain)
    return {key: value for key, value in table.items() if value} | {
        "locked": {"versions": versions, "data_sha256": dict(data), "model_sha256": dict(model)}
    }


def _resolved(link: Link) -> dict[str, Any]:
    opened = link.opened
    options = {key: value for key, value in opened.options.items() if value is not None}
    begun_with = {"of": link.of} if link.of else {}
    return {"use": opened.spec.name, **begun_with, **options, "version": opened.version}


def versions_of(chain: Chain) -> dict[str, str]:
    """Versions of what decides a result: distributions that are here, and what steps name."""
    found: dict[str, str] = {}
    for name in _DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    for link in (*chain.steps, *chain.targets):
        found |= link.step.versions()
    return found
