"""The teaching example keeps every promise of a device."""

from deepseek_null.conformance import TestNull

__all__ = ["TestNull"]
