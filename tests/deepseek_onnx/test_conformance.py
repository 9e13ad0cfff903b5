"""The ONNX plugin keeps every promise of a device and of a frontend."""

from deepseek_onnx.conformance import TestCpu, TestFrontend

__all__ = ["TestCpu", "TestFrontend"]
