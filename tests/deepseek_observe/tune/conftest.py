"""The tests here need torch, and share trainings that are small."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch isn't installed (make install-dev)")

sys.path.insert(0, str(Path(__file__).parent))
