"""What tests change in their own process for a while, and put back."""

import sys
from contextlib import contextmanager


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


def forget_modules(folder):
    """Let modules that were imported from below a folder be imported anew."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
            del sys.modules[name]
