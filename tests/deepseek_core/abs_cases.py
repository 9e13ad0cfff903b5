"""Of the ONNX suite no more than `Abs`, all that the bad devices know: 3 s less a process.

`pytest -p abs_cases`; the whole suite is for devices that run more of it.
"""

from importlib import import_module

from onnx.backend.test import loader

loader.import_recursive = lambda package: import_module(f"{package.__name__}.abs")
