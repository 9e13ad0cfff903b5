"""Builds the kernels for an emulator or a board with a vendor's tool, and records them."""
