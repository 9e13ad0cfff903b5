"""These tests import small networks by name, from beside their folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
