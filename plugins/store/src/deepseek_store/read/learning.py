"""What a store learns of its readers: how heat predicts accesses, and which shards pay."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from deepseek_core import TierProfile, errors
from deepseek_store.planning import sizing
from deepseek_store.planning.access_log import AccessLog
from deepseek_store.planning.policy import Policy, TierName
from deepseek_store.planning.reaccess import Reaccess
from deepseek_store.planning.size_model import choose_sizes
from deepseek_store.planning.sizing import Sizes
from deepseek_store.read.access_rates import AccessRates, RateAt, heat_of

META: Final = "learned"


class Learner:
    """Compares the heat of all objects with what came of it, one half-life later."""

    def __init__(self, policy: Policy, remembered: str | None) -> None:
        self._half_life_s = policy.half_life_s
        # rates at `_then_s`, with which those of a half-life later are compared
        self._picture: Mapping[str, RateAt] = {}
        self._then_s = 0.0  # 0: no picture was taken
        self.reaccess = _remembered(remembered) or Reaccess(half_life_s=policy.half_life_s)

    def look(self, heat: AccessRates, now_s: float, *, last: bool = False) -> bool:
        """Take a picture, or learn from the last one if its time has come; True: learned.

        `last`: it will not be compared with what comes, so none is taken.
        """
        passed_s = now_s - self._then_s
        due = bool(self._picture) and passed_s >= self._half_life_s
        if due:
            keys = [key for key in self._picture if heat.knows(key)]
            self.reaccess = self.reaccess.learn(
                [heat_of(self._picture[key]) for key in keys],
                [heat.of(key, now_s) for key in keys],
                self._then_s,
                now_s,
            )
        # A clock that was set back makes the picture useless.
        if not last and (due or not self._picture or passed_s < 0):
            self._picture, self._then_s = heat.picture(), now_s
        return due

    @property
    def foretold(self) -> Reaccess | None:
        """What to expect by what was seen; None before anything was."""
        return self.reaccess if self.reaccess.came.any() else None

    def remembered(self) -> str:
        """What was learned, for the index."""
        return json.dumps(self.reaccess.to_json())


class ShardSizes:
    """The shard sizes for data that moves, by the reads of the tiers so far."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.log = AccessLog()

    def chooser(self, tier: TierName, profile: TierProfile) -> tuple[Sizes, Callable[[str], Sizes]]:
        """The sizes in general with the reason, and a function for those of one object."""
        if self._policy.sizing != "cost_model" or not len(self.log) or tier == "hot":
            sizes = sizing.ruled(self._policy, tier, profile)
            return sizes, lambda _key: sizes
        accesses, places = self.log.accesses()
        chosen = choose_sizes(accesses, profile, max(1, self._policy.cache_nbytes))
        return chosen, lambda key: places.of(key, chosen)


def _remembered(text: str | None) -> Reaccess | None:
    if text is None:
        return None
    try:
        return Reaccess.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError, errors.ConfigError):
        return None  # of another version: it is learned again
