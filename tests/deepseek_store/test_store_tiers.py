"""Tiers that vanish, refuse, hang and come back, under a store."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from slow_proxy import Fault, SlowProxy

from deepseek_core import Tier, errors
from deepseek_store import Policy, Store
from deepseek_store.errors import CodeRefused, Unrecoverable
from deepseek_store.memory_tier import open_memory

if TYPE_CHECKING:
    from s3_server import S3Server

LOCAL = Policy(
    warm_fragment_nbytes=64 << 10,
    cold_fragment_nbytes=64 << 10,
    sizing=64 << 10,
    grace_s=0.0,
    cache_nbytes=0,
    codes={"hot": "auto", "warm": "rs(4,2)", "cold": "lrc(6,2,2)"},
)
REMOTE = Policy(cold_fragment_nbytes=64 << 10, sizing=64 << 10, grace_s=0.0, cache_nbytes=0)
# Faults are tried again at once and not for long.
QUICK = {"timeout_s": 1, "retries": 2, "give_up_s": 1.5}


def data_of(key: str, nbytes: int = 15_000) -> bytes:
    return random.Random(key).randbytes(nbytes)


COLD = [f"cold/{number}" for number in range(20)]
HOT = [f"hot/{number}" for number in range(5)]


def fill(store: Store) -> None:
    for key in [*COLD, *HOT]:
        store.put(key, data_of(key))
    store.maintenance.send(COLD, "cold")
    store.maintenance.gc()


def check(store: Store, keys: list[str]) -> None:
    for key in keys:
        assert bytes(store.get(key)) == data_of(key)


def refused(store: Store, keys: list[str]) -> int:
    """How many can't be read; those that can are right."""
    count = 0
    for key in keys:
        try:
            assert bytes(store.get(key)) == data_of(key)
        except (errors.TierUnavailable, Unrecoverable) as error:
            assert error.remedy
            count += 1
    return count


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "cold").mkdir()
    url = f"{(tmp_path / 'cold').as_uri()}?domains=10"
    with Store.init(tmp_path / "s", cold=[url], policy=LOCAL) as store:
        fill(store)
        yield store


@pytest.mark.parametrize("open_meanwhile", [True, False])
def test_domains_that_vanish_are_read_around_as_far_as_the_code_bears(
    local: Store, tmp_path: Path, open_meanwhile: bool
) -> None:
    store = local
    gone = ("d1", "d2", "d3")
    for name in gone:
        if not open_meanwhile:
            store.close()
        (tmp_path / "cold" / name).rename(tmp_path / f"away-{name}")
        if not open_meanwhile:
            store = Store(tmp_path / "s")
        check(store, [*COLD, *HOT])
    # Who has a folder open goes on reading from it, wherever it was moved.
    assert store.parts.reader.degraded or open_meanwhile
    store.put("more", b"x")
    store.close()
    for name in gone:
        (tmp_path / f"away-{name}").rename(tmp_path / "cold" / name)
    with Store(tmp_path / "s") as store:
        check(store, [*COLD, *HOT])
        assert not store.parts.reader.degraded


def test_a_tier_that_vanishes_refuses_and_is_read_again_when_it_is_back(
    local: Store, tmp_path: Path
) -> None:
    home = _closed(local)
    (tmp_path / "cold").rename(tmp_path / "away")
    with Store(home) as store:
        assert refused(store, COLD) == len(COLD)
        check(store, HOT)
        store.put("new", b"still taken")
        assert bytes(store.get("new")) == b"still taken"
        assert store.delete("hot/0")
        store.maintenance.gc()
    if (tmp_path / "cold").exists():
        shutil.rmtree(tmp_path / "cold")
    (tmp_path / "away").rename(tmp_path / "cold")
    with Store(home) as store:
        check(store, [*COLD, *HOT[1:]])
        store.maintenance.send(["new"], "cold")
        assert bytes(store.get("new")) == b"still taken"


def test_a_scrub_finds_and_repairs_what_a_lost_domain_took_with_it(
    local: Store, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "cold" / "d4" / "stripes")
    report = local.maintenance.scrub(repair=True)
    assert report.ok, report.sentences()
    assert not local.maintenance.fsck(deep=True).sentences() or local.maintenance.fsck(deep=True).ok
    before = local.parts.reader.degraded
    with Store(_closed(local)) as store:
        check(store, [*COLD, *HOT])
        assert store.parts.reader.degraded == 0
    assert before == 0


def _closed(store: Store) -> Path:
    store.close()
    return store.home


# S3


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[SlowProxy]:
    with SlowProxy(s3_server.port) as line:
        yield line


@pytest.fixture(scope="session")
def bucket(s3_server: S3Server) -> str:
    return s3_server.make_bucket()


@pytest.fixture
def remote(s3_server: S3Server, bucket: str, proxy: SlowProxy, tmp_path: Path) -> Iterator[Store]:
    url = s3_server.url(bucket, f"store/{tmp_path.name}", endpoint=proxy.endpoint, **QUICK)
    with Store.init(tmp_path / "s", cold=[url], policy=REMOTE) as store:
        fill(store)
        yield store


@pytest.mark.parametrize(
    "fault",
    [Fault("status", 500), Fault("status", 503, "SlowDown"), Fault("reset"), Fault("cut")],
    ids=["500", "slow-down", "reset", "cut"],
)
def test_a_passing_fault_of_s3_is_not_seen(remote: Store, proxy: SlowProxy, fault: Fault) -> None:
    proxy.fail(fault, times=2, methods=("GET",))
    check(remote, COLD)
    proxy.fail(fault, times=2)
    remote.put("more", data_of("more"), tier="cold")
    proxy.heal()
    assert bytes(remote.get("more")) == data_of("more")


@pytest.mark.parametrize(
    "fault",
    [Fault("status", 403, "AccessDenied"), Fault("status", 500), Fault("reset"), Fault("hang")],
    ids=["403", "500", "reset", "hang"],
)
def test_s3_that_refuses_or_hangs_is_told_and_loses_nothing(
    remote: Store, proxy: SlowProxy, fault: Fault
) -> None:
    remote.put("new", data_of("new"))
    proxy.fail(fault)
    assert refused(remote, COLD[:1]) == 1
    check(remote, HOT)
    with pytest.raises(errors.StorageError) as caught:
        remote.maintenance.send(["new"], "cold")
    assert caught.value.remedy
    check(remote, ["new"])
    proxy.heal()
    check(remote, [*COLD, *HOT, "new"])
    remote.maintenance.send(["new"], "cold")
    remote.maintenance.gc()
    check(remote, [*COLD, *HOT, "new"])


def test_what_arrives_damaged_at_the_tier_never_replaces_what_is_right(
    remote: Store, proxy: SlowProxy
) -> None:
    remote.put("new", data_of("new"))
    proxy.fail(Fault("damage"), methods=("PUT", "POST"))
    with pytest.raises(errors.StorageError) as caught:
        remote.maintenance.send(["new"], "cold")
    assert caught.value.remedy
    check(remote, [*COLD, *HOT, "new"])
    proxy.heal()
    remote.maintenance.send(["new"], "cold")
    remote.maintenance.gc()
    check(remote, [*COLD, *HOT, "new"])


def test_wrong_credentials_are_told_without_showing_any(
    s3_server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_TEST_WRONG_SECRET", "canary-3141592653")
    wrong = s3_server.url(
        bucket, "store/wrong", secret_key="env:DEEPSEEK_TEST_WRONG_SECRET", **QUICK
    )
    with pytest.raises(errors.StorageError) as caught:
        Store.init(tmp_path / "s", cold=[wrong], policy=REMOTE)
    assert "canary" not in f"{caught.value!s} {caught.value!r}"
    assert caught.value.remedy
    assert not list((tmp_path / "s").iterdir())


def test_an_empty_folder_does_not_pass_for_a_disk_that_was_mounted(tmp_path: Path) -> None:
    tier, policy = (
        tmp_path / "mount",
        Policy(codes={"hot": "auto", "warm": "auto", "cold": "rs(2,1)"}),
    )
    tier.mkdir()
    url = f"{tier.as_uri()}?domains=4"
    with Store.init(tmp_path / "s", cold=[url], policy=policy) as store:
        store.put("a", data_of("a"), tier="cold")
    tier.rename(tmp_path / "unmounted")
    with Store(tmp_path / "s") as store:
        store.put("b", data_of("b"))
        with pytest.raises(errors.TierUnavailable, match="not mounted"):
            store.maintenance.send(["b"], "cold")
        with pytest.raises(errors.StorageError):
            store.get("a")
        check(store, ["b"])
    shutil.rmtree(tier, ignore_errors=True)
    (tmp_path / "unmounted").rename(tier)
    with Store(tmp_path / "s") as store:
        store.maintenance.send(["b"], "cold")
        check(store, ["a", "b"])


def test_exchanged_urls_are_noticed(tmp_path: Path) -> None:
    urls = [f"memory://{tmp_path.name}-{name}?domains=3" for name in ("one", "two")]
    policy = Policy(codes={"hot": "auto", "warm": "auto", "cold": "rs(2,1)"})
    with Store.init(tmp_path / "s", cold=urls, policy=policy) as store:
        store.put("a", data_of("a"), tier="cold")
    path = tmp_path / "s" / "store.json"
    config = json.loads(path.read_text())
    config["tiers"].reverse()
    path.write_text(json.dumps(config))
    with Store(tmp_path / "s") as store:
        assert all(tier is None for tier in store.parts.tiers.tiers)
        assert "exchanged" in store.parts.tiers.failed[0]


def test_a_server_that_is_down_when_the_store_opens_leaves_the_log_usable(
    remote: Store, proxy: SlowProxy
) -> None:
    home = _closed(remote)
    proxy.fail(Fault("reset"))
    with Store(home) as store:
        check(store, HOT)
        assert refused(store, COLD[:1]) == 1
        store.put("new", data_of("new"))
    proxy.heal()
    with Store(home) as store:
        check(store, [*COLD, *HOT, "new"])


def test_a_store_lives_on_tiers_that_no_plugin_opens(tmp_path: Path) -> None:
    asked = []

    def opened(url: str) -> Tier:
        asked.append(url)
        return open_memory(url.replace("tape:", "memory:"))

    home, url = tmp_path / "s", "tape://no-plugin?domains=10"
    with Store.init(home, cold=[url], policy=LOCAL, tiers=opened) as store:
        fill(store)
    marks = len(asked)
    (home / "index.sqlite").unlink()
    assert Store.rebuild(home, tiers=opened).ok
    assert Store.adopt(home, tiers=opened).ok
    with Store(home, tiers=opened) as store:
        check(store, [*COLD, *HOT])
    assert marks >= 2
    assert set(asked) == {url}
    with pytest.raises(errors.ConfigError):
        Store.rebuild(home)
    open_memory("memory://no-plugin?domains=10").clear()


def test_a_store_that_did_not_come_to_be_leaves_no_mark_on_such_tiers(tmp_path: Path) -> None:
    tier = open_memory("memory://no-mark?domains=2")
    with pytest.raises(CodeRefused):
        Store.init(tmp_path / "s", cold=["tape://x"], policy=LOCAL, tiers=lambda _url: tier)
    assert list(tier.list()) == []
    assert list((tmp_path / "s").iterdir()) == []
