"""The codec keeps every promise of a compressor."""

from deepseek_parallel.conformance import TestTopK

__all__ = ["TestTopK"]
