"""What tests change in their own process for a while, and put back."""

import copy
import functools
import sys
from contextlib import contextmanager
from unittest import mock


@contextmanager
def one_thread():
    """Let torch compute on one thread, at which results repeat."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def operators_read_once():
    """Let torch's exporter to ONNX keep what it knows of operators from one export to the next.

    It parses the sources of 500 functions for each: two fifths of an export of a small model.
    """
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    read = functools.cache(ONNXRegistry.from_torchlib)

    def known(**which):
        registry = copy.copy(read(**which))
        registry.functions = {name: [*found] for name, found in registry.functions.items()}
        return registry  # to which an export may add operators of its own

    with mock.patch.object(ONNXRegistry, "from_torchlib", staticmethod(known)):
        yield


def forget_modules(folder):
    """Let modules that were imported from below a folder be imported anew."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
            del sys.modules[name]
