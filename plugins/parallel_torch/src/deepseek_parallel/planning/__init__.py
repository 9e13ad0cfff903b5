"""Seconds, memory and bytes of a training step, by a model: pure, nothing is measured here."""
