"""Tiers are opened by their URLs, whichever plugin they come from."""

import attrs
import plain_tiers
import pytest

from deepseek_core import TierProfile, TierSpec, open_tier
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.switches import Switches


def offered(name, *, schemes=("ram",), tier="DictTier", priority=0, **why):
    record = TierSpec(
        name=name, temperature="hot", schemes=schemes, factory=f"plain_tiers:{tier}",
        priority=priority,
    )  # fmt: skip
    return Registered(record=record, plugin=name, dist=f"acme-{name}", version="1.0", **why)


def registry(*tiers):
    return Registry(plugins=(), switches=Switches(), tiers=tiers)


def test_the_scheme_finds_the_plugin_and_the_tier_works():
    with open_tier("ram://scratch", registry=registry(offered("a"))) as tier:
        assert tier.url == "ram://scratch"
        assert tier.put_if_absent("key", b"content")
        assert tier.get("key", 3) == b"tent"


def test_the_highest_priority_opens_it():
    found = registry(offered("a"), offered("b", tier="OtherTier", priority=5))
    assert type(open_tier("ram:", registry=found)) is plain_tiers.OtherTier


def test_a_plugin_that_lacks_something_is_passed_over():
    lacking = offered("b", priority=9, reason="needs acme_sdk", remedy="pip install acme-sdk")
    assert type(open_tier("ram:", registry=registry(lacking, offered("a")))) is plain_tiers.DictTier
    with pytest.raises(
        ConfigError, match=r"plugin 'b' opens ram: URLs, but needs acme_sdk"
    ) as told:
        open_tier("ram:", registry=registry(lacking))
    assert told.value.remedy == "pip install acme-sdk"


def test_an_unknown_scheme_is_told_with_those_that_are_known():
    with pytest.raises(ConfigError, match="no plugin opens tape: URLs; known schemes: ram"):
        open_tier("tape://7", registry=registry(offered("a")))
    with pytest.raises(ConfigError, match="known schemes: none"):
        open_tier("tape://7", registry=registry())


def test_a_path_is_no_url():
    with pytest.raises(ConfigError, match="a tier must be given as a URL, got '/mnt/disk'"):
        open_tier("/mnt/disk", registry=registry(offered("a")))


def test_a_profile_is_checked_at_birth():
    profile = TierProfile(medium="hdd", latency_s=0.008, bytes_per_s=1.5e8)
    assert profile.nines is None
    assert profile.evidence == "hardware"
    for wrong in ({"latency_s": -1.0}, {"bytes_per_s": 0.0}):
        with pytest.raises(ValueError):
            attrs.evolve(profile, **wrong)
