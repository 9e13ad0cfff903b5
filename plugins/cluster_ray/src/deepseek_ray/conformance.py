"""Conformance tests: `ds-sdk check-plugin cluster_ray` runs them on a cluster of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deepseek_core.testing import ExecutorConformance


class TestRay(ExecutorConformance):
    """The kit's plan on a Ray cluster."""

    plugin = "cluster_ray"
    name = "ray"
    waivers: ClassVar[Mapping[str, str]] = {
        "test_using_it_leaves_the_process_as_it_was": "ray.init sets variables, sys.path and hooks",
        "test_using_it_writes_only_where_it_may": "Ray keeps the files of its session",
        "test_using_it_calls_nobody": "a cluster is reached by the network",
        "test_using_it_leaves_no_process": "the cluster serves the next plan of the process, too",
    }
