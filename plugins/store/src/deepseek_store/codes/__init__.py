"""Redundancy: replication, Reed-Solomon codes and codes with local parities."""

from deepseek_store.codes.code import Code
from deepseek_store.codes.codec import Codec
from deepseek_store.codes.solve import DecodePlan

__all__ = ["Code", "Codec", "DecodePlan"]
