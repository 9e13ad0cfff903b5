"""The plugin keeps every promise of a command."""

from deepseek_trt.conformance import TestTrt

__all__ = ["TestTrt"]
