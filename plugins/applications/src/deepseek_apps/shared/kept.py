"""`python -m deepseek_apps.shared.kept PID WORD ...`: `ds-sdk WORD ...` that ends with PID.

A training whose parent was killed would go on unseen and write to a folder that is free again.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # of prctl(2)


def main() -> None:
    """Ask the kernel for SIGTERM at the parent's death, then be `ds-sdk`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    parent, words = int(sys.argv[1]), sys.argv[2:]
    if os.getppid() != parent:
        sys.exit(1)
    sys.argv = ["ds-sdk", *words]
    from runpy import run_module

    run_module("deepseek_core", run_name="__main__")


if __name__ == "__main__":
    main()
