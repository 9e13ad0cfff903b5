"""Layers that the encoders are built of."""
