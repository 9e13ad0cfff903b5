"""These tests import small networks by name, from beside their folder."""

import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
collect_ignore = [] if find_spec("torch") else ["test_fake_quantize.py", "test_fake_quantized.py"]
