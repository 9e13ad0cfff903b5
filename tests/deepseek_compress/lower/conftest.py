"""These tests import the small networks that lie beside their folder by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
