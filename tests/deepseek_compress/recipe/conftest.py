"""Tests of recipes import what lies beside them by name."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="recipes of modules need torch")
sys.path.insert(0, str(Path(__file__).parent))
