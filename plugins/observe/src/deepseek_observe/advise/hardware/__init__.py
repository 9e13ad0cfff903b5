"""Devices that are known, what a model needs of them, and which to take."""
