"""A small application as a plugin of its own, made by `ds-sdk new-plugin`, for `ds-sdk app`."""

import sys
from pathlib import Path

import pytest

from deepseek_core.cli import main

sys.path.insert(0, str(Path(__file__).parent))

NAME = "acme_rows"
METADATA = """Metadata-Version: 2.1
Name: acme-rows
Version: 1.0
Requires-Dist: deepseek-core>=0.1,<0.2
"""


@pytest.fixture(scope="session")
def made_plugin(tmp_path_factory):
    """Folders for `sys.path`: the plugin's sources, and where it is described as installed."""
    folder = tmp_path_factory.mktemp("plugin")
    assert main(["new-plugin", "application", NAME, "--folder", str(folder / "made")]) == 0
    info = folder / "site" / "acme_rows-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(f"[deepseek_sdk.plugins.v1]\n{NAME} = {NAME}.hooks\n")
    return folder / "made" / "src", folder / "site"


@pytest.fixture
def plugin(made_plugin, monkeypatch):
    """The application is there; its name."""
    for folder in made_plugin:
        monkeypatch.syspath_prepend(str(folder))
    yield NAME
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


@pytest.fixture
def rows(tmp_path):
    """Three clouds of points as a CSV file."""
    import numpy as np

    rng = np.random.default_rng(0)
    classes = np.arange(240) % 3
    points = rng.normal(size=(240, 2)) + 2 * classes[:, None]
    lines = [f"{x:.4f},{y:.4f},{'abc'[c]}" for (x, y), c in zip(points, classes, strict=True)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["x,y,label", *lines]) + "\n")
    return path
