"""Checkpoints of a training on any number of ranks, at any URL of fsspec."""
