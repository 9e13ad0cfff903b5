"""Small models that are built by code: kind by kind what ONNX Runtime runs, and what it refuses."""

from __future__ import annotations

from typing import Final

from corpus_kit.case import Case

from small_models import (
    apart_items,
    containers,
    control_flow,
    dtypes,
    endings,
    files,
    functions,
    item_counts,
    leftovers,
    microsoft,
    mixed_items,
    names,
    quantized,
    shapes,
    tables,
    versions,
)

_KINDS: Final = (
    mixed_items,
    item_counts,
    apart_items,
    names,
    endings,
    shapes,
    containers,
    dtypes,
    control_flow,
    functions,
    files,
    versions,
    quantized,
    tables,
    microsoft,
    leftovers,
)
CASES: Final[tuple[Case, ...]] = tuple(case for kind in _KINDS for case in kind.cases.all())
