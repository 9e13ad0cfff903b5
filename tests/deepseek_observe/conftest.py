"""The tests here share timelines made by hand."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
