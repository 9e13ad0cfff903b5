"""Temporary."""

from pathlib import Path
from typing import Any


def export_onnx(model: Any, inputs: Any, path: Path) -> None:
    """Export."""
    import warnings

    import torch

    args = tuple(torch.zeros(shape) for shape in inputs.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), args, path, dynamo=True, verbose=False, external_data=False)
