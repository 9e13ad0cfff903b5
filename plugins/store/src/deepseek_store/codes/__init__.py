"""Redundancy: replication, Reed-Solomon codes and codes with local parities."""

from deepseek_store.codes.choose_kernel import kernel_name, kernel_reason
from deepseek_store.codes.code import Code
from deepseek_store.codes.codec import Codec
from deepseek_store.codes.solve import Plan

__all__ = ["Code", "Codec", "Plan", "kernel_name", "kernel_reason"]
