"""How large the shards of an object are: rules, and sizes that differ per 4 MiB span.

A miss costs `latency_s + nbytes / bytes_per_s`: large shards bring neighbors that may be wanted
soon, small ones waste neither bandwidth nor cache. Sizes change only while data moves anyway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs

from deepseek_store.planning.fields import (
    LARGEST_SHARD_NBYTES,
    SMALLEST_SHARD_NBYTES,
    PerTier,
    TierName,
)
from deepseek_store.planning.policy import Policy

SPAN_NBYTES: Final = 4 << 20
"""Each span of an object has shards of one size."""

REGION_SPANS: Final = 64
"""Spans of a region, which are alike as long as nothing is known of them."""

SIZES: Final = tuple(SMALLEST_SHARD_NBYTES << i for i in range(7))
"""All sizes there are: powers of two, so that each divides a span."""

FIXED_RULE: Final = PerTier(hot=512 << 10, warm=256 << 10, cold=64 << 10)
"""The rule of the article that the SDK began with; a baseline, dearer than most fixed sizes."""

_SHARE: Final = 0.5  # 0.4 to 1 x latency x bandwidth was best on traces: benchmarks/shards.py


class Speed(Protocol):
    """What sizing knows of a tier; `TierProfile` and `TierTerms` are such."""

    @property
    def latency_s(self) -> float:
        """Seconds before the first byte."""

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth of one read."""


@attrs.frozen(kw_only=True)
class Sizes:
    """Shard sizes of an address space: one for all, and regions and spans that differ.

    `predicted_s` maps each size that was weighed to its seconds of misses per access.
    """

    base_nbytes: int
    regions: Mapping[int, int] = attrs.field(factory=dict)
    overrides: Mapping[int, int] = attrs.field(factory=dict)
    predicted_s: Mapping[int, float] = attrs.field(factory=dict)
    why: str

    def of(self, span: int) -> int:
        """Shard size in a span, in bytes."""
        nbytes = self.overrides.get(span)
        if nbytes is None:
            nbytes = self.regions.get(span // REGION_SPANS, self.base_nbytes)
        return nbytes

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; keys of mappings become text."""
        return {
            "base_nbytes": self.base_nbytes,
            "regions": {str(region): nbytes for region, nbytes in self.regions.items()},
            "overrides": {str(span): nbytes for span, nbytes in self.overrides.items()},
            "predicted_s": {str(nbytes): cost for nbytes, cost in self.predicted_s.items()},
            "why": self.why,
        }


def unmeasured(speed: Speed) -> Sizes:
    """The size for a tier before anything was read: half of latency times bandwidth."""
    wish = _SHARE * speed.latency_s * speed.bytes_per_s
    nbytes = nearest_size(wish)
    rate = speed.bytes_per_s / 1e6
    why = f"from an assumed {speed.latency_s * 1e3:.3g} ms x {rate:.0f} MB/s / 2 (not measured)"
    return Sizes(base_nbytes=nbytes, why=why)


def ruled(policy: Policy, tier: TierName, speed: Speed) -> Sizes:
    """The size by the policy alone, for data that nobody has measured."""
    if policy.sizing == "fixed_rule":
        return Sizes(base_nbytes=FIXED_RULE[tier], why=f"by the fixed rule for {tier}")
    if policy.sizing == "cost_model":
        return unmeasured(speed)
    return Sizes(base_nbytes=policy.sizing, why="by the policy")


def nearest_size(nbytes: float) -> int:
    """The size nearest to a wish, by ratio."""
    wish = min(max(nbytes, SMALLEST_SHARD_NBYTES), LARGEST_SHARD_NBYTES)
    return SMALLEST_SHARD_NBYTES << round(math.log2(wish / SMALLEST_SHARD_NBYTES))
