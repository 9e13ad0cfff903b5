"""`ds-sdk advise` and `ds-sdk train plan` read one description of a cluster, and know one GPU."""

import tomllib

import attrs
import pytest

from deepseek_observe.advise.cluster_file import read_cluster
from deepseek_observe.advise.hardware.catalogue import DEVICES
from deepseek_parallel.planning.cluster import GPUS
from deepseek_parallel.planning.described import cluster_of, named_cluster

FILE = """
[[group]]
gpu = "a100-80g"
nodes = 2
speed = 0.5
between = { bytes_per_s = 1.25e9 }

[[group]]
name = "workstation"
nodes = 1
gpus_per_node = 8
flops_per_s = { bf16 = 165e12 }
memory_nbytes = 24e9
memory_bytes_per_s = 1.0e12
inside = { bytes_per_s = 25e9, latency_s = 1e-5 }
between = { bytes_per_s = 1.25e9, latency_s = 3e-5 }
"""


@pytest.mark.parametrize("name", sorted(GPUS))
def test_a_gpu_that_both_know_is_the_same(name):
    ours, theirs = read_cluster(f"{name}:3").groups[0], named_cluster(f"{name}:3").groups[0]
    assert ours == DEVICES[name].group(3)
    both = {dtype: rate for dtype, rate in ours.flops_per_s.items() if dtype in theirs.flops_per_s}
    assert attrs.evolve(ours, flops_per_s=both) == theirs


def test_a_file_is_the_same_cluster_to_both(tmp_path):
    path = tmp_path / "cluster.toml"
    path.write_text(FILE)
    assert read_cluster(str(path)) == cluster_of(tomllib.loads(FILE), "here")
