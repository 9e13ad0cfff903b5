"""TensorRT engines: checks, builds and a cache."""
