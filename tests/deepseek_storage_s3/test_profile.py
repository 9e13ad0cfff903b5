"""What a planner is told of a bucket."""

import pytest
from slow_proxy import SlowProxy

from deepseek_core import errors


def test_speed_is_as_given(open_s3):
    found = open_s3("x", latency_ms=12, mb_per_s=40, nines=9).profile()
    assert (found.medium, found.evidence) == ("object-store", "hardware")
    assert (found.latency_s, found.bytes_per_s, found.nines) == (0.012, 4e7, 9.0)


def test_no_nines_are_made_up(open_s3):
    assert open_s3("x").profile().nines is None


def test_domains_by_name_only_stand_for_disks(open_s3):
    tier = open_s3("x", domains=3)
    assert tier.failure_domains == ("d0", "d1", "d2")
    assert tier.profile().evidence == "simulated"


def test_a_probe_measures_the_line_and_leaves_nothing(s3_server, open_s3):
    with SlowProxy(s3_server.port, latency_s=0.05, bytes_per_s=10e6) as line:
        tier = open_s3("probed", endpoint=line.endpoint, probe=1)
        found = tier.profile()
        assert tier.profile() == found
    assert found.latency_s >= 0.05
    assert found.bytes_per_s <= 12e6
    assert not list(open_s3("probed/.ds-aside").list())


def test_a_closed_tier_says_so(open_s3):
    tier = open_s3("x")
    tier.close()
    for use in (
        lambda: tier.get("x"),
        lambda: list(tier.list()),
        lambda: tier.put_if_absent("x", b""),
    ):
        with pytest.raises(errors.StorageError, match="is closed"):
            use()
