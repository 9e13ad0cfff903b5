"""CUDA below the device: the seam to the driver, and what moves data over it."""
