"""The codec keeps every promise of a compressor, and strategies those of theirs."""

from deepseek_parallel.conformance import (
    TestHybrid,
    TestReplicas,
    TestShards,
    TestStages,
    TestTensors,
    TestTopK,
)

__all__ = ["TestHybrid", "TestReplicas", "TestShards", "TestStages", "TestTensors", "TestTopK"]
