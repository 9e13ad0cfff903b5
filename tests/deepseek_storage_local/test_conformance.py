"""The promises of a tier, inherited from the plugin's own conformance module."""

from deepseek_storage_local.conformance import TestHdd, TestSsd

__all__ = ["TestHdd", "TestSsd"]
