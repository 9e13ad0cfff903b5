"""Domains of operators: those of the SDK's own, `MatchL2` and `MatchHamming`, and everybody's."""

from __future__ import annotations

from typing import Final

DOMAIN: Final = "ai.deepseek"
DOMAIN_VERSION: Final = 1

COMMON_DOMAINS: Final = frozenset({"", "ai.onnx.ml", "com.microsoft"})
"""A device that knows an operator of another domain has a kernel of its own for it."""
