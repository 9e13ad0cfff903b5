"""`ds-sdk demo`: the visual-search example of the checkout that this runs from."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from deepseek_core.contracts.errors import ConfigError

SUMMARY: Final = "visual search on this machine's devices: plan, reasons, figures, a page"
EXAMPLES: Final = """examples:
  ds-sdk demo
  ds-sdk demo --pin match=onnx --output /tmp/demo"""

_PLACE: Final = Path("examples") / "visual_search"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the example itself."""
    folder = find_example()
    if folder is not None:
        _load(folder).add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the example.

    Raises:
        ConfigError: it is not there, since its models and data come with the source only.
    """
    folder = find_example()
    if folder is None:
        raise ConfigError(
            f"no {_PLACE} here or above; the demo's models and pictures come with the source",
            remedy="run it inside a checkout of the repository",
        )
    code: int = _load(folder).run(args)
    return code


def find_example() -> Path | None:
    """The example below the current folder, or below the checkout of an editable install."""
    for root in (Path.cwd(), *Path.cwd().parents, *Path(__file__).resolve().parents):
        if (root / _PLACE / "demo.py").is_file():
            return root / _PLACE
    return None


def _load(folder: Path) -> ModuleType:
    """Import demo.py beside its own neighbors."""
    if "demo" in sys.modules:
        return sys.modules["demo"]
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("demo", folder / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["demo"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
