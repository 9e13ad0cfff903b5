"""The OpenCL plugin keeps every promise of a device and a command, on the first device present."""

from deepseek_fpga.conformance import TestFpga, TestOpenCl

__all__ = ["TestFpga", "TestOpenCl"]
