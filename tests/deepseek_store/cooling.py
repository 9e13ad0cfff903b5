"""When an object cools, in closed form: what verdicts and their next moves are held against."""

import math

from deepseek_store.planning.tiering import _candidate


def when_below(heat, threshold_per_s, half_life_s):
    """When the rate falls below a threshold if nobody comes; infinity for a threshold of 0."""
    if heat.rate_per_s < threshold_per_s:
        return heat.at_s
    if threshold_per_s <= 0.0:
        return math.inf
    return heat.at_s + half_life_s * math.log2(heat.rate_per_s / threshold_per_s)


def break_even_per_s(state, cooler, here, policy):
    """The accesses per second below which moving an object to a cooler tier pays."""
    idle = [_candidate(state, one, here, policy, 0.0) for one in (here, cooler)]
    busy = [_candidate(state, one, here, policy, 1.0) for one in (here, cooler)]
    keep = 1.0 - policy.hysteresis
    gain = keep * idle[0].per_day - idle[1].per_day
    loss_per_rate = busy[1].access_per_day - keep * busy[0].access_per_day
    if gain <= 0.0:
        return 0.0
    return gain / loss_per_rate if loss_per_rate > 0.0 else math.inf


def cools_at_s(state, cooler, here, policy):
    """When the cooler tier pays if nobody comes, by the decaying rate; infinity: never."""
    border = break_even_per_s(state, cooler, here, policy)
    return when_below(state.heat, border, policy.half_life_s)
