"""These tests import small networks by name: from beside their folder, and from `lower`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "lower")]
