"""The kit's promises, on a cluster."""

import pytest

from deepseek_core.testing import ExecutorConformance


class TestRay(ExecutorConformance):
    plugin = "cluster_ray"
    name = "ray"

    @pytest.fixture(autouse=True)
    def cluster(self, nodes, monkeypatch):
        monkeypatch.setenv("RAY_ADDRESS", nodes.address)
