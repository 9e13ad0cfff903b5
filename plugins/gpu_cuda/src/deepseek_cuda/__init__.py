"""NVIDIA GPUs: found by NVML, without a CUDA context."""
