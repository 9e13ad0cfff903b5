"""GPUs that are known; what a cluster is, core says."""

from __future__ import annotations

from typing import Final

from deepseek_core import training

Link = training.Link
Group = training.Group
Cluster = training.Cluster

GIB: Final = 2**30

GPUS: Final = {
    "a100-80g": Group(
        name="a100-80g",
        nodes=1,
        gpus_per_node=8,
        flops_per_s={"bf16": 312e12, "fp16": 312e12, "fp32": 19.5e12},
        memory_nbytes=80 * GIB,
        memory_bytes_per_s=2.039e12,
        inside=Link(bytes_per_s=300e9, latency_s=5e-6),
        between=Link(bytes_per_s=25e9, latency_s=10e-6),
    ),
    "h100-80g": Group(
        name="h100-80g",
        nodes=1,
        gpus_per_node=8,
        flops_per_s={"bf16": 989e12, "fp16": 989e12, "fp32": 67e12},
        memory_nbytes=80 * GIB,
        memory_bytes_per_s=3.35e12,
        inside=Link(bytes_per_s=450e9, latency_s=5e-6),
        between=Link(bytes_per_s=50e9, latency_s=10e-6),
    ),
    "v100-32g": Group(
        name="v100-32g",
        nodes=1,
        gpus_per_node=8,
        flops_per_s={"fp16": 125e12, "fp32": 15.7e12},
        memory_nbytes=32 * GIB,
        memory_bytes_per_s=0.9e12,
        inside=Link(bytes_per_s=150e9, latency_s=5e-6),
        between=Link(bytes_per_s=6.25e9, latency_s=10e-6),
    ),
}
"""NVIDIA's data sheets of the SXM boards (dense rates), in nodes as DGX: eight network ports of 200
Gbit/s (A100) or 400 (H100), four of 100 (V100). Latencies are assumed."""
