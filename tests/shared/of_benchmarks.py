"""Modules of the benchmarks for tests, without their folder on the path.

It has scripts with names of libraries, such as `cuda`, which torch looks for.
"""

import importlib
import sys
from pathlib import Path

_FOLDER = str(Path(__file__).parents[2] / "benchmarks")


def benchmark(name):
    """The module `benchmarks/NAME.py`."""
    sys.path.insert(0, _FOLDER)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(_FOLDER)
