"""The traces of the benchmarks, as far as they lie in the repository, for tests."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from of_benchmarks import benchmark

_traces: Any = benchmark("_traces")
for name in ("_fetch_queue", "_read_patterns", "_simulated_store"):
    benchmark(name)  # tests that import this module find them then


def ids(name: str, longest: int) -> NDArray[np.int64]:
    """The first requests of a trace, its ids numbered from 0 in the order of their first use."""
    _, first, place = np.unique(
        _traces.load(name).ids[:longest], return_index=True, return_inverse=True
    )
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[place]
