"""Batch, rate and accumulation of a training, found by short trials of it."""
