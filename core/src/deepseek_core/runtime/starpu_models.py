"""Costs from StarPU's performance models (text files, model version 45 and later).

A file holds the kernel's measured mean and deviation for each data footprint on each
architecture: https://files.inria.fr/starpu/doc/html/OnlinePerformanceTools.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from deepseek_core.contracts.errors import ArtifactError

_ARCHITECTURE: Final = re.compile(r"# Model for ([a-z]+)(\d*)_impl\d+")
_KINDS: Final = {"cpu": "cpu", "cuda": "gpu", "hip": "gpu", "opencl": "opencl"}
_COLUMNS: Final = 8  # hash, size, flops, mean, deviation, sum, sum2, n


@attrs.frozen(kw_only=True)
class StarpuEntry:
    """Mean and standard deviation in seconds over `samples` runs."""

    mean_s: float
    deviation_s: float
    samples: int


def starpu_costs(path: Path) -> dict[int, dict[str, StarpuEntry]]:
    """Size in bytes -> device type (`cpu`, `gpu`, `opencl`) -> what was measured.

    Devices of one type are averaged by their samples.

    Raises:
        ArtifactError: no such file, or no performance model.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"the performance model {path} can't be read: {error}") from error
    if "Performance Model Version" not in text:
        raise ArtifactError(f"{path} is not a StarPU performance model")
    found: dict[int, dict[str, list[StarpuEntry]]] = {}
    for kind, size, entry in _entries(text, path):
        found.setdefault(size, {}).setdefault(kind, []).append(entry)
    if not found:
        raise ArtifactError(f"the performance model {path} holds no measurement")
    return {
        size: {kind: _pooled(entries) for kind, entries in by_kind.items()}
        for size, by_kind in found.items()
    }


def _entries(text: str, path: Path) -> Iterator[tuple[str, int, StarpuEntry]]:
    kind = ""
    for number, line in enumerate(text.splitlines(), start=1):
        named = _ARCHITECTURE.match(line)
        if named:
            kind = _KINDS.get(named[1], named[1])
        words = line.split()
        if line.startswith("#") or len(words) != _COLUMNS or not kind:
            continue
        try:
            mean_us, deviation_us, samples = float(words[3]), float(words[4]), int(words[7])
            size = int(words[1])
        except ValueError:
            continue  # a line of regression figures, which has as many words
        if not (math.isfinite(mean_us) and mean_us >= 0):
            raise ArtifactError(
                f"{path}, line {number}: the mean must be 0 or more, got {words[3]}"
            )
        spread = deviation_us if math.isfinite(deviation_us) else 0.0
        entry = StarpuEntry(mean_s=mean_us / 1e6, deviation_s=spread / 1e6, samples=samples)
        yield kind, size, entry


def _pooled(entries: list[StarpuEntry]) -> StarpuEntry:
    weights = [max(entry.samples, 1) for entry in entries]
    total = sum(weights)
    rows = list(zip(entries, weights, strict=True))
    mean_s = sum(entry.mean_s * w for entry, w in rows) / total
    variance = sum(w * (e.deviation_s**2 + (e.mean_s - mean_s) ** 2) for e, w in rows) / total
    return StarpuEntry(
        mean_s=mean_s,
        deviation_s=math.sqrt(variance),
        samples=sum(entry.samples for entry in entries),
    )
