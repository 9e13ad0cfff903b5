"""These tests import small networks by name: from beside their folder, and from `lower`."""

import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
collect_ignore = [] if find_spec("torch") else ["test_export.py"]
