"""Measures files on devices, through the SDK's scheduler."""
