"""The kit's promises, on a cluster."""

import pytest

from deepseek_ray import conformance


class TestRay(conformance.TestRay):
    @pytest.fixture(autouse=True)
    def cluster(self, nodes, monkeypatch):
        monkeypatch.setenv("RAY_ADDRESS", nodes.address)
