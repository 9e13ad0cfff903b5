"""Without torch the codec works, and the rest says what to install."""

import subprocess
import sys

CODE = """
import sys
sys.modules["torch"] = None
import numpy as np
import deepseek_parallel
from deepseek_core import errors
print(deepseek_parallel.TopK(0.5).pack(np.ones(4, np.float32)).nbytes > 0)
try:
    deepseek_parallel.CompressedSGD
except errors.ConfigError as error:
    print(error)
"""


def test_it_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True
    )
    works, told = done.stdout.splitlines()
    assert works == "True"
    assert told.startswith("CompressedSGD needs torch, which isn't installed -> ")
    assert "parallel_torch[torch]" in told
