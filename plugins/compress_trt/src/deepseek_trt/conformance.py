"""Its promises as tests: `ds-sdk check-plugin compress_trt` runs them."""

from __future__ import annotations

from typing import ClassVar

from deepseek_core.testing import CommandConformance


class TestTrt(CommandConformance):
    """The command `ds-sdk trt`."""

    plugin = "compress_trt"
    name = "trt"
    arguments: ClassVar[list[list[str]]] = [[], ["cache", "list"], ["cache", "list", "--json"]]
