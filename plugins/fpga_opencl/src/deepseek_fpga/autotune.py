"""Measures the variants once per device, metric and shape class, and remembers the result.

The memory is one JSON file in the cache folder. Keys name the device, its driver and the kernel's
source, so nothing stale is ever used. A damaged file is set aside and started again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, frozen

from deepseek_core import errors
from deepseek_fpga import packing
from deepseek_fpga.engine import DeviceGallery, Runner
from deepseek_fpga.files import write_atomically
from deepseek_fpga.program_cache import ProgramCache
from deepseek_fpga.variants import SMALL_ROWS, Metric, Variant, candidates, kernel_source

_log = logging.getLogger(__name__)

FILE_NAME = "tuning.json"
_FORMAT = 1
_BUDGET_S = 1.4  # no new variant is started after this; what was measured decides
_SMALL_BUDGET_S = 0.8  # the same for small tiles, on top
_GALLERY_ROWS = 16384  # as many as real galleries start with: lists must have time to settle
_GALLERY_BYTES = 1 << 23  # fewer of long rows
_QUERIES = 32
_MARGIN = 1.1  # a small tile must be that much faster: timings of microseconds are noisy
_REPEATS = 7
_CLASS_DIMS = (32, 256, 1024)  # elements a row; a longer one makes the last class


@frozen(kw_only=True)
class TileCost:
    """A variant and the seconds one tile of it takes against the trial gallery."""

    variant: Variant
    tile_s: float


@frozen(kw_only=True)
class Tuning:
    """Variants of one layout, for large and small batches."""

    costs: tuple[TileCost, ...]

    @property
    def layout_variant(self) -> Variant:
        """The variant for large batches; its layout is the gallery's."""
        return self.costs[0].variant

    def choose(self, batch: int) -> Variant:
        """The variant that takes a batch of this many queries in the least time."""

        def cost_s(cost: TileCost) -> float:
            small = cost is not self.costs[0]
            return -(-batch // cost.variant.rows) * cost.tile_s * (_MARGIN if small else 1)

        return min(self.costs, key=cost_s).variant


def shape_class(dim: int) -> str:
    """Shapes of one class share a tuning."""
    return next((f"d{limit}" for limit in _CLASS_DIMS if dim <= limit), "dmax")


def tuning_key(cache: ProgramCache, metric: Metric, dim: int) -> str:
    """Names the device, its driver, the kernel's source, the metric and the shape class."""
    source = hashlib.sha256(kernel_source().encode()).hexdigest()[:16]
    return "|".join((cache.device.fingerprint, source, metric, shape_class(dim)))


def tuned(cache: ProgramCache, folder: Path, metric: Metric, dim: int) -> Tuning:
    """The remembered tuning, or a new one, measured now and remembered.

    Raises:
        CompileError: no variant builds on this device.
    """
    key = tuning_key(cache, metric, dim)
    remembered = _recall(folder / FILE_NAME, key)
    if remembered is not None:
        return remembered
    tuning = measure(cache, metric, dim)
    _remember(folder / FILE_NAME, key, tuning)
    return tuning


def measure(cache: ProgramCache, metric: Metric, dim: int) -> Tuning:
    """Time the candidates, then the small tiles in the layout of the best.

    Raises:
        CompileError: no variant builds on this device.
    """
    deadline_s = time.monotonic() + _BUDGET_S
    trial = _Trial(cache, metric, dim)
    costs = trial.costs(candidates(cache.device.record, metric), deadline_s)
    best = min(costs, key=lambda cost: cost.tile_s / cost.variant.rows)
    small = [
        Variant(metric=metric, words=best.variant.words, rows=rows, vecs=best.variant.vecs)
        for rows in SMALL_ROWS
        if rows < best.variant.rows
    ]
    return Tuning(costs=(best, *trial.costs(small, deadline_s + _SMALL_BUDGET_S)))


class _Trial:
    """A gallery of random numbers and the means to time a variant on it."""

    def __init__(self, cache: ProgramCache, metric: Metric, dim: int) -> None:
        self._cache = cache
        self._queue = cache.device.make_queue()
        dtype = np.dtype(packing.DTYPES[metric])
        count = min(_GALLERY_ROWS, max(_QUERIES, _GALLERY_BYTES // (dim * dtype.itemsize)))
        self._gallery = _random_rows(count, dim, dtype)
        self._queries = _random_rows((_REPEATS + 1) * 2 * _QUERIES, dim, dtype)
        self._failure: errors.DeviceError | None = None

    def costs(
        self, variants: tuple[Variant, ...] | list[Variant], deadline_s: float
    ) -> list[TileCost]:
        """Time variants in order until the deadline; those that do not build are left out."""
        done: list[TileCost] = []
        for variant in variants:
            if done and time.monotonic() > deadline_s:
                break
            try:
                done.append(TileCost(variant=variant, tile_s=self._time(variant)))
            except errors.CompileError as error:
                _log.info("left out on %s: %s", self._cache.device.id, variant.options)
                self._failure = error
        if not done and self._failure is not None:
            raise self._failure
        return done

    def _time(self, variant: Variant) -> float:
        """Seconds that one tile takes on one compute unit: the least of a few runs."""
        device = self._cache.device
        program = self._cache.build(kernel_source(), variant.options)
        gallery = DeviceGallery(device, self._queue, variant, self._gallery)
        runner = Runner(device, self._queue, program, gallery, variant=variant, k=2, units=1)
        tiles = -(-_QUERIES // variant.rows)
        words = packing.query_words(variant.words, self._queries)
        # New queries each time: a branch predictor would learn the old ones.
        batches = np.split(words[: tiles * variant.rows * (_REPEATS + 1)], _REPEATS + 1)
        try:
            runner.run(batches[0])  # the first launch may compile
            return min(self._seconds(runner, batch) for batch in batches[1:]) / tiles
        finally:
            runner.release()
            gallery.release()

    def _seconds(self, runner: Runner, words: packing.Array) -> float:
        """Seconds of one run; on a CPU its own CPU time, which neighbors do not stretch."""
        on_cpu = self._cache.device.record.type == "cpu"
        clock = time.process_time if on_cpu else time.perf_counter
        start_s = clock()
        runner.run(words)
        return clock() - start_s


def _random_rows(count: int, dim: int, dtype: np.dtype[Any]) -> packing.Array:
    rng = np.random.default_rng(count)
    if dtype.kind == "f":
        return rng.random((count, dim), dtype=np.float32)
    return rng.integers(-128, 128, (count, dim), np.int8).view(dtype)


def _recall(path: Path, key: str) -> Tuning | None:
    entry = _load(path).get(key)
    if entry is None:
        return None
    try:
        return _decode(entry)
    except (TypeError, ValueError, KeyError) as error:
        _set_aside(path, error)
        return None


def _remember(path: Path, key: str, tuning: Tuning) -> None:
    """Add to the file; a folder that can't be written only costs time."""
    entries = {**_load(path), key: [asdict(cost) for cost in tuning.costs]}
    text = json.dumps({"format": _FORMAT, "entries": entries}, indent=1)
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        _log.warning("tuning can't be kept in %s: %s", path, error)


def _load(path: Path) -> dict[str, Any]:
    """The entries of the file; none when it is absent, of another format, or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(content["entries"]) if content["format"] == _FORMAT else {}
    except OSError:
        return {}
    except (TypeError, ValueError, KeyError) as error:
        _set_aside(path, error)
        return {}


def _decode(entry: list[dict[str, Any]]) -> Tuning:
    costs = tuple(
        TileCost(variant=Variant(**cost["variant"]), tile_s=float(cost["tile_s"])) for cost in entry
    )
    if not costs:
        raise ValueError("an empty tuning")
    return Tuning(costs=costs)


def _set_aside(path: Path, error: Exception) -> None:
    aside = path.with_suffix(".damaged")
    _log.warning("%s is damaged (%s); moved to %s and measured again", path, error, aside.name)
    try:
        path.replace(aside)
    except OSError:
        _log.debug("%s could not be moved", path)
