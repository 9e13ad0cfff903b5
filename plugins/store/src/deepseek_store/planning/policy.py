"""What a user may decide about a store; kept in its `store.json`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, Literal, Self

import attrs

from deepseek_core import errors
from deepseek_store.planning import fields as f
from deepseek_store.planning.fields import (
    LARGEST_SHARD_NBYTES,
    SMALLEST_SHARD_NBYTES,
    TIERS,
    PerTier,
    TierName,
)

__all__ = [
    "LARGEST_SHARD_NBYTES",
    "SMALLEST_SHARD_NBYTES",
    "TIERS",
    "PerTier",
    "Policy",
    "TierName",
]

DAY_S: Final = 86_400.0


@attrs.frozen(kw_only=True)
class Policy:
    """The knobs of a store. Money is in any one currency.

    Raises:
        ConfigError: a value does not fit; the message names its field.
    """

    landing: TierName = attrs.field(default="hot", validator=f.by(f.tier_name))
    """Where new objects go. All pass the log; others than "hot" leave it at the next chance."""

    half_life_s: float = attrs.field(default=3 * DAY_S, validator=f.by(f.between(1.0, 1e10)))
    """An access counts half after this time; a promotion has to pay within it."""

    learn: bool = attrs.field(default=True, validator=f.by(f.yes_or_no))
    """Correct the decaying rate by what objects of that heat and age were seen to do."""

    price_per_gib_month: PerTier[float] = attrs.field(
        default=f.three(0.08, 0.025, 0.01),
        converter=f.as_three,
        validator=f.by(f.each(f.between(0.0, 1e6))),
    )
    """What keeping a stored GiB costs a month."""

    wait_price_per_hour: float = attrs.field(default=1.0, validator=f.by(f.between(0.0, 1e6)))
    """What an hour costs that somebody spends waiting for reads."""

    hot_per_day: float | None = attrs.field(
        default=None, validator=f.by(f.maybe(f.between(0.0, 1e9)))
    )
    warm_per_day: float | None = attrs.field(
        default=None, validator=f.by(f.maybe(f.between(0.0, 1e9)))
    )
    """Fixed borders, in accesses a day, instead of costs: both or none."""

    hysteresis: float = attrs.field(default=0.2, validator=f.by(f.between(0.0, 0.9)))
    """A move has to save this share of the cost."""

    min_residence_s: float = attrs.field(default=6 * 3600.0, validator=f.by(f.between(0.0, 1e10)))
    """Nothing moves down sooner after a move."""

    quota_nbytes: PerTier[int | None] = attrs.field(
        default=f.three(None, None, None),
        converter=f.as_three,
        validator=f.by(f.each(f.maybe(f.whole(0)))),
    )
    """Stored bytes that a tier may take; None: what its URLs have."""

    sizing: Literal["cost_model", "fixed_rule"] | int = attrs.field(
        default="cost_model", validator=f.by(f.sizing)
    )
    """How large shards are: by cost, by the fixed rule, or this many bytes."""

    floor_nines: PerTier[float | None] = attrs.field(
        default=f.three(None, None, None),
        converter=f.as_three,
        validator=f.by(f.each(f.maybe(f.between(0.0, 30.0)))),
    )
    """Nines of annual durability to keep at least; None: the best that the domains carry."""

    codes: PerTier[str] = attrs.field(
        default=f.three("auto", "auto", "auto"),
        converter=f.as_three,
        validator=f.by(f.each(f.code)),
    )
    """A code for each tier, such as "lrc(140,4,6)"; "auto": chosen by the domains."""

    warm_fragment_nbytes: int = attrs.field(default=16 << 20, validator=f.by(f.whole(64 << 10)))
    """Length of the log's segments, which become fragments of warm stripes as they are."""

    cold_fragment_nbytes: int = attrs.field(default=4 << 20, validator=f.by(f.whole(64 << 10)))
    """Length of the fragments of cold stripes."""

    stripe_wait_s: float = attrs.field(default=DAY_S, validator=f.by(f.between(0.0, 1e10)))
    """A stripe that is not full is written once its oldest part has waited this long."""

    transition_share: float = attrs.field(default=0.05, validator=f.by(f.between(0.0, 1.0)))
    """Share of a tier's bandwidth that moves may take."""

    grace_s: float = attrs.field(default=3600.0, validator=f.by(f.between(0.0, 1e9)))
    """What a move has replaced is deleted this much later."""

    garbage_share: float = attrs.field(default=0.3, validator=f.by(f.between(0.01, 1.0)))
    """Compact a segment or stripe when this share of it is dead."""

    cache_nbytes: int = attrs.field(default=256 << 20, validator=f.by(f.whole(0)))
    """Memory for shards of warm and cold objects."""

    prefetch: bool = attrs.field(default=True, validator=f.by(f.yes_or_no))
    """Fetch ahead of the readers."""

    def __attrs_post_init__(self) -> None:
        hot, warm = self.hot_per_day, self.warm_per_day
        if (hot is None) != (warm is None):
            raise f.bad("hot_per_day" if hot is None else "warm_per_day", None, "both or none")
        if hot is not None and warm is not None and warm > hot:
            raise f.bad("warm_per_day", warm, f"hot_per_day ({hot:g}) or less")

    def to_json(self) -> dict[str, Any]:
        """All fields as plain values."""
        return attrs.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The policy that `to_json` told; what it does not name is as by default.

        Raises:
            ConfigError: a name that this version does not know, or a value that does not fit.
        """
        if not isinstance(content, Mapping):
            raise errors.ConfigError(
                f"policy: {content!r} is not a table", remedy="give names and values"
            )
        known = sorted(field.name for field in attrs.fields(cls))
        unknown = [str(name) for name in content if name not in known]
        if unknown:
            raise errors.ConfigError(
                f"policy: unknown setting {', '.join(map(repr, unknown))}",
                remedy=_meant(unknown[0], known),
            )
        return cls(**content)


def _meant(unknown: str, known: list[str]) -> str:
    """A remedy for a setting that there is not: the nearest one, or all."""
    near = [name for name in known if name.startswith(unknown)] or get_close_matches(unknown, known)
    return f"did you mean {near[0]}?" if near else f"use some of {', '.join(known)}"
