"""Values per tier, and the checks of a policy's fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, Literal, TypeVar, get_args

import attrs

from deepseek_core import errors
from deepseek_store.codes.code import Code

TierName = Literal["hot", "warm", "cold"]
TIERS: Final[tuple[TierName, ...]] = get_args(TierName)
"""From the fastest to the cheapest."""

SMALLEST_SHARD_NBYTES: Final = 64 << 10
LARGEST_SHARD_NBYTES: Final = 4 << 20

T = TypeVar("T")
Check = Callable[[str, Any], None]
"""Raises a ConfigError that names the field if the value does not fit."""


@attrs.frozen(kw_only=True)
class PerTier(Generic[T]):
    """One value for each tier."""

    hot: T
    warm: T
    cold: T

    def __getitem__(self, tier: str) -> T:
        if tier not in TIERS:
            raise errors.ConfigError(
                f"{tier!r} is not a tier", remedy=f"use one of {', '.join(TIERS)}"
            )
        value: T = getattr(self, tier)
        return value

    def items(self) -> Iterator[tuple[TierName, T]]:
        """Tiers with their values, hot first."""
        return ((name, self[name]) for name in TIERS)


def as_three(value: Any) -> Any:
    """A mapping as values per tier; all else stays as it is, for the check to refuse."""
    if isinstance(value, Mapping) and set(value) == set(TIERS):
        return PerTier(**value)
    return value


def three(hot: T, warm: T, cold: T) -> Any:
    """The default of a field with a value per tier."""
    return attrs.Factory(lambda: PerTier(hot=hot, warm=warm, cold=cold))


def bad(name: str, value: object, wanted: str) -> errors.ConfigError:
    """The error for a field of a policy."""
    return errors.ConfigError(f"policy: {name} is {value!r}", remedy=f"give {wanted}")


def by(check: Check) -> Any:
    """A check as attrs wants it."""
    return lambda _owner, attribute, value: check(attribute.name, value)


def between(low: float, high: float) -> Check:
    """A finite number in these limits."""

    def check(name: str, value: Any) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not low <= value <= high:
            raise bad(name, value, f"a number from {low:g} to {high:g}")

    return check


def whole(low: int) -> Check:
    """An integer, `low` at least."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise bad(name, value, f"a whole number of bytes, {low} at least")

    return check


def yes_or_no(name: str, value: Any) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise bad(name, value, "true or false")


def tier_name(name: str, value: Any) -> None:
    """One of the tiers."""
    if value not in TIERS:
        raise bad(name, value, f"one of {', '.join(TIERS)}")


def maybe(check: Check) -> Check:
    """None, or what the check allows."""
    return lambda name, value: None if value is None else check(name, value)


def each(check: Check) -> Check:
    """What the check allows, for each tier."""

    def check_each(name: str, value: Any) -> None:
        if not isinstance(value, PerTier):
            raise bad(name, value, f"one value for each of {', '.join(TIERS)}")
        for one, part in value.items():
            check(f"{name}.{one}", part)

    return check_each


def code(name: str, value: Any) -> None:
    """The name of a code, or "auto"."""
    if value == "auto":
        return
    try:
        Code.parse(value)
    except (errors.ConfigError, TypeError) as error:
        raise bad(name, value, f"'auto' or a code such as 'lrc(140,4,6)' ({error})") from None


def sizing(name: str, value: Any) -> None:
    """A rule of shard sizes, or a size."""
    if value in ("cost_model", "fixed_rule"):
        return
    whole_number = isinstance(value, int) and not isinstance(value, bool)
    if not whole_number or not SMALLEST_SHARD_NBYTES <= value <= LARGEST_SHARD_NBYTES:
        limits = f"{SMALLEST_SHARD_NBYTES} to {LARGEST_SHARD_NBYTES} bytes"
        raise bad(name, value, f"'cost_model', 'fixed_rule' or {limits}")
