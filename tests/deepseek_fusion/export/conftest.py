"""Helpers beside these tests are imported by name."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]
