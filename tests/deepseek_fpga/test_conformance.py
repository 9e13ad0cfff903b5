"""The OpenCL plugin keeps every promise of a device, on the first one that is present."""

from deepseek_fpga.conformance import TestOpenCl

__all__ = ["TestOpenCl"]
