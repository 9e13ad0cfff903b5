"""The promises of a compressor and of strategies, for this plugin's."""

from __future__ import annotations

from deepseek_core.testing import CompressorConformance, StrategyConformance

_CASE = "deepseek_parallel.strategies.case:case"


class TestTopK(CompressorConformance):
    """The largest 1 % of an array."""

    plugin = "parallel_torch"
    name = "topk"


class TestReplicas(StrategyConformance):
    """A replica of the model on each rank."""

    plugin = "parallel_torch"
    name = "ddp"
    case = _CASE


class TestShards(TestReplicas):
    """Replicas that keep a part of each parameter."""

    name = "fsdp"


class TestTensors(TestReplicas):
    """Layers divided over ranks."""

    name = "tp"


class TestStages(TestReplicas):
    """A pipeline."""

    name = "pp"


class TestHybrid(TestReplicas):
    """Any mesh."""

    name = "hybrid"
    trained_ranks = (4,)
