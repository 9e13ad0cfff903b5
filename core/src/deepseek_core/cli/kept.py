"""`python -m deepseek_core.cli.kept PID WORD ...`: `ds-sdk WORD ...` that ends with process PID.

A command that another one started would go on unseen when that was killed, and write to a folder
that is free again.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # of prctl(2)


def kept_command(words: Sequence[str]) -> list[str]:
    """What to start for `ds-sdk WORDS` in a child process that ends when this process does.

    The child gets SIGTERM then; where the kernel can't promise that (not Linux), it goes on.
    """
    return [sys.executable, "-P", "-m", "deepseek_core.cli.kept", str(os.getpid()), *words]


def end_with(parent: int) -> None:
    """Get SIGTERM when the parent of this process ends; end now if it is not `parent` any more."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the line above
        sys.exit(1)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    from deepseek_core.cli.main import main

    sys.argv = ["ds-sdk", *sys.argv[2:]]
    sys.exit(main())
