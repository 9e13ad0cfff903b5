"""The promises of a compressor, for this plugin's."""

from __future__ import annotations

from deepseek_core.testing import CompressorConformance


class TestTopK(CompressorConformance):
    """The largest 1 % of an array."""

    plugin = "parallel_torch"
    name = "topk"
