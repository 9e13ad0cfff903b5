"""What is sampled: the host, GPUs through NVML, and devices of a simulation."""
