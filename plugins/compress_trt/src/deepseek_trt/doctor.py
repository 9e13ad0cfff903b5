"""A row of `ds-sdk doctor`: which flavors of TensorRT are here, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import Finding
from deepseek_trt.backends.find import Flavor, flavors


def check_flavors() -> Iterable[Finding]:
    """One finding a flavor; none is imported. A missing one is no fault: it is an extra."""
    return [_finding(flavor) for flavor in flavors()]


def _finding(flavor: Flavor) -> Finding:
    if flavor.available:
        return Finding(status="ok", text=f"{flavor.name} is here")
    text = f"{flavor.name} can't be used here: {flavor.reason}"
    return Finding(status="ok", text=text, remedy=flavor.remedy)
