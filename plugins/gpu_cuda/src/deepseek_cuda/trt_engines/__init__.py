"""TensorRT engines that were built before: read, checked against this GPU, and run."""
