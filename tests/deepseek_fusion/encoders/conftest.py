"""Weights by name, as the golden files were made with."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def filling():
    path = Path(__file__).parent / "golden" / "filling.py"
    spec = importlib.util.spec_from_file_location("filling", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
