"""The tests here need torch."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch isn't installed (make install-dev)")

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def recipe_folder(tmp_path, monkeypatch):
    """A folder with recipe.toml and train.py, where one works."""
    from train_recipe import RECIPE, SCRIPT

    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which a recipe adds its folder
    return tmp_path
