"""Makes the devices of these tests importable by their locators."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
