"""Conformance tests: `ds-sdk check-plugin cluster_ray` runs them on a cluster of its own."""

from __future__ import annotations

from deepseek_core.testing import ExecutorConformance


class TestRay(ExecutorConformance):
    """The kit's plan on a Ray cluster."""

    plugin = "cluster_ray"
    name = "ray"
