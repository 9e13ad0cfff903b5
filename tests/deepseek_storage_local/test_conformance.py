"""The promises of a tier, inherited from the plugin's own conformance module."""

from deepseek_storage_local import conformance


class TestSsd(conformance.TestSsd):
    many = 2_000  # `ds-sdk check-plugin` writes 10,000 objects, which takes seconds


class TestHdd(conformance.TestHdd):
    many = 2_000
