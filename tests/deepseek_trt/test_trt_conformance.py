"""The plugin keeps every promise of its command and of its step."""

from deepseek_trt.conformance import TestEngine, TestTrt

__all__ = ["TestEngine", "TestTrt"]
