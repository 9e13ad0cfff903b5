"""The knobs of a store: what fits, what does not, and how it is kept."""

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_store.planning.policy import TIERS, PerTier, Policy

NINES = {"hot": None, "warm": 11.0, "cold": 12.5}
CODES = {"hot": "auto", "warm": "rs(6,3)", "cold": "lrc(140,4,6)"}

BAD = [
    ("landing", "tepid"),
    ("half_life_s", 0),
    ("half_life_s", float("nan")),
    ("half_life_s", "3 days"),
    ("half_life_s", True),
    ("learn", 1),
    ("price_per_gib_month", {"hot": 1.0, "warm": 1.0}),
    ("price_per_gib_month", {"hot": 1.0, "warm": -1.0, "cold": 1.0}),
    ("price_per_gib_month", 3.0),
    ("wait_price_per_hour", -1.0),
    ("hysteresis", 1.0),
    ("min_residence_s", float("inf")),
    ("quota_nbytes", {"hot": 1.5, "warm": None, "cold": None}),
    ("sizing", "best"),
    ("sizing", 1000),
    ("sizing", 8 << 20),
    ("sizing", None),
    ("floor_nines", {"hot": 99.0, "warm": None, "cold": None}),
    ("codes", {"hot": "auto", "warm": "rs(6", "cold": "auto"}),
    ("codes", {"hot": "auto", "warm": 63, "cold": "auto"}),
    ("warm_fragment_nbytes", 10),
    ("cold_fragment_nbytes", "4 MiB"),
    ("transition_share", 1.5),
    ("grace_s", -1),
    ("garbage_share", 0.0),
    ("cache_nbytes", -1),
    ("prefetch", "on"),
    ("hot_per_day", -2.0),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_refused_and_its_field_named(name, value):
    with pytest.raises(errors.ConfigError) as caught:
        Policy(**{name: value})
    assert name in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("borders", [{"hot_per_day": 1.0}, {"warm_per_day": 1.0}])
def test_one_border_alone_is_refused(borders):
    with pytest.raises(errors.ConfigError, match="both or none"):
        Policy(**borders)


def test_borders_in_the_wrong_order_are_refused():
    with pytest.raises(errors.ConfigError, match="warm_per_day"):
        Policy(hot_per_day=1.0, warm_per_day=2.0)


def test_a_value_per_tier_names_the_tier_that_is_wrong():
    with pytest.raises(errors.ConfigError, match=r"codes\.warm"):
        Policy(codes={"hot": "auto", "warm": "raid", "cold": "auto"})


@given(
    st.floats(1.0, 1e9),
    st.sampled_from(("cost_model", "fixed_rule", 65_536, 1 << 20)),
    st.sampled_from(TIERS),
    st.booleans(),
)
def test_json_brings_back_the_same_policy(half_life_s, sizing, landing, learn):
    policy = Policy(
        half_life_s=half_life_s,
        sizing=sizing,
        landing=landing,
        learn=learn,
        floor_nines=NINES,
        codes=CODES,
        hot_per_day=2.0,
        warm_per_day=0.1,
    )
    assert Policy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


def test_json_that_names_little_leaves_the_rest_as_by_default():
    policy = Policy.from_json({"prefetch": False})
    assert policy == attrs.evolve(Policy(), prefetch=False)


@pytest.mark.parametrize("content", [{"colour": "red"}, {"prefetch": 3}, ["prefetch"], {7: 1}])
def test_json_that_does_not_fit_is_refused(content):
    with pytest.raises(errors.ConfigError):
        Policy.from_json(content)


def test_values_per_tier_are_asked_by_name():
    policy = Policy(codes=CODES)
    assert policy.codes["cold"] == policy.codes.cold == "lrc(140,4,6)"
    assert [name for name, _ in policy.codes.items()] == list(TIERS)
    with pytest.raises(errors.ConfigError, match="tepid"):
        PerTier(hot=1, warm=2, cold=3)["tepid"]
