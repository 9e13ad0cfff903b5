"""Moves, care and reports by the command line, on a store with real stripes and real damage."""

import json
import random
from pathlib import Path

import pytest
from store_cli import SMALL, Cli

from deepseek_core import errors, open_tier
from deepseek_store import Store
from deepseek_store.errors import ReadOnlyStore
from deepseek_store.report.bench import bench

COUNT = 24


@pytest.fixture
def files(tmp_path):
    rng = random.Random(6)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:02d}").write_bytes(rng.randbytes(9000 + 500 * number))
    return folder


@pytest.fixture
def store(cli, files):
    cli.init()
    cli("put", "t/", files, "--recursive", "--quiet")
    return cli


def same(store, files, tmp_path):
    store("get", "t/", tmp_path / "back", "--recursive", "--quiet")
    for path in files.iterdir():
        assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes()


def tiers(store):
    return {one["tier"] for one in store.json("ls", "t", "--all")["objects"]}


def cold_url(store):
    tiers = json.loads((store.home / "store.json").read_text())["tiers"]
    return next(tier["url"] for tier in tiers if tier["temperature"] == "cold")


def damage(store, count):
    """Takes away this many fragments of the cold tier."""
    with open_tier(cold_url(store)) as tier:
        keys = [found.key for found in tier.list("") if "/stripes/" in found.key]
        for key in keys[:count]:
            tier.delete(key)
    assert len(keys) > count
    return keys


def test_a_plan_is_told_and_carried_out(store, files, tmp_path):
    told = store("plan", "--flush")
    assert "adopt " in told
    assert "hot to warm: " in told
    plan = store.json("plan", "--flush")
    dry = store.json("apply", "--flush", "--dry-run")
    assert dry["dry_run"]
    assert dry["done"] == 0
    assert {move["kind"] for move in dry["moves"]} == {move["kind"] for move in plan["moves"]}
    assert store.json("status")["tiers"][1]["stripes"] == 0
    assert " done, " in store("apply", "--flush")
    assert "apply: " in store.err
    assert store.json("status")["tiers"][1]["stripes"] > 0
    same(store, files, tmp_path)


def test_a_budget_bounds_what_is_written(store):
    whole = store.json("plan", "--flush")
    part = store.json("plan", "--flush", "--budget", "1K")
    assert whole["moves"]
    assert len(part["moves"]) < len(whole["moves"])
    assert part["deferred"]
    store("plan", "--budget", "much", code=2)
    assert "must be a size" in store.err


def test_objects_go_where_they_are_sent(store, files, tmp_path):
    assert store.json("send", "t/", "cold", "--dry-run")["objects"] == COUNT
    assert tiers(store) == {"hot"}
    assert "sent 24 objects" in store("send", "t/", "cold")
    assert tiers(store) == {"cold"}
    same(store, files, tmp_path)
    assert "sent 24 objects" in store("send", "t", "--tier", "hot")
    assert "send: 24/24" in store.err
    assert tiers(store) == {"hot"}
    same(store, files, tmp_path)


def test_a_pin_is_a_move_of_the_next_plan(store):
    assert "pinned 24 objects to cold" in store("pin", "t/", "cold")
    assert store.json("status")["pins"] == COUNT
    store("apply", "--flush", "--quiet")
    assert tiers(store) == {"cold"}
    assert "pinned" in " ".join(store("explain", "t/00").split())
    store("unpin", "t/")
    assert store.json("status")["pins"] == 0
    store("pin", "none/", "hot", code=1)
    assert "no object or folder 'none/'" in store.err


def test_a_store_without_that_tier_says_so(cli, files):
    cli("init")
    cli("put", "t/", files, "--recursive", "--quiet")
    for words in (("send", "t/", "cold"), ("pin", "t/", "warm")):
        cli(*words, code=2)
        assert "the store has no " in cli.err
    assert cli.json("status")["pins"] == 0


def test_an_explanation_says_where_and_why(store):
    store("send", "t/", "cold")
    told = store("explain", "t/07")
    assert "cold" in told
    assert "RS(4,2)" in told
    assert store.json("explain", "t/07")["key"] == "t/07"
    store("explain", "none", code=1)


def test_a_snapshot_keeps_what_was(store, files, tmp_path):
    assert store("snapshots") == "no snapshots\n"
    assert "24 objects" in store("snapshot", "before")
    store("rm", "t/", "--recursive")
    store("gc")
    assert store("ls") == ""
    store("get", "t/05", tmp_path / "old", "--snapshot", "before")
    assert (tmp_path / "old").read_bytes() == (files / "05").read_bytes()
    assert store.json("stat", "t/05", "--snapshot", "before")["key"] == "t/05"
    assert [one["name"] for one in store.json("snapshots")["snapshots"]] == ["before"]
    store("snapshot", "before", code=2)
    store("snapshot", "before", "--drop")
    store("snapshot", "before", "--drop", code=2)
    store("get", "t/05", tmp_path / "x", "--snapshot", "before", code=2)


def test_garbage_is_told_before_it_is_freed(store):
    store("rm", "t/", "--recursive")
    would = store.json("gc", "--dry-run")
    assert would["dry_run"]
    assert would["freed_nbytes"] > 0
    assert store.json("gc", "--dry-run") == would
    assert store("gc").startswith("freed ")
    assert store("gc").startswith("freed ")
    assert store.json("gc")["freed_nbytes"] == 0


def test_a_whole_store_passes_every_check(store):
    store("send", "t/", "cold")
    for command in ("scrub", "fsck", "repair"):
        assert store.json(command)["ok"]
    assert store.json("fsck", "--deep")["ok"]
    assert "Nothing is wrong" in store("scrub", "--rate", "500M")
    assert "scrub: " in store.err


def test_lost_fragments_are_found_and_made_anew(store, files, tmp_path):
    store("send", "t/", "cold")
    keys = damage(store, 2)
    found = store.json("scrub", code=1)
    assert len(found["faults"]) == 2
    assert store.json("status")["damaged"] > 0
    assert "damaged and not repaired" in store("status")
    store("fsck", code=1)
    assert len(store.json("repair", "--dry-run", code=1)["faults"]) == 2
    assert store.json("repair")["repaired"] == 2
    assert store.json("status")["damaged"] == 0
    assert store.json("scrub", "--restart")["ok"]
    assert store.json("fsck")["ok"]
    with open_tier(cold_url(store)) as tier:
        assert sum("/stripes/" in found.key for found in tier.list("")) == len(keys)
    same(store, files, tmp_path)


def test_reads_go_around_what_is_lost_and_that_is_counted(store, files, tmp_path):
    store("send", "t/", "cold")
    with Store(store.home) as opened:
        stripes = list(opened.parts.state.stripes.values())
    with open_tier(cold_url(store)) as tier:
        for stripe in stripes:
            tier.delete(stripe.fragments[0].key)
    same(store, files, tmp_path)
    assert store.json("status")["counts"]["degraded"] > 0
    assert "degraded reads: " in store("status")


def test_more_loss_than_the_code_bears_is_told(store, tmp_path):
    store("send", "t/", "cold")
    store("gc")
    with open_tier(cold_url(store)) as tier:
        for found in list(tier.list("")):
            if "/stripes/" in found.key:
                tier.delete(found.key)
    assert not store.json("scrub", "--repair", code=1)["ok"]
    store("get", "t/00", tmp_path / "out", code=1)
    assert "error: " in store.err
    assert not list(tmp_path.glob("out*"))


def test_an_index_is_made_anew(store, files, tmp_path):
    store("send", "t/", "cold")
    store("snapshot", "before")
    for path in store.home.glob("index.sqlite*"):
        path.unlink()
    report = store.json("rebuild", "--verify")
    assert report["ok"]
    assert report["objects"] == COUNT
    same(store, files, tmp_path)
    assert store.json("fsck")["ok"]


def test_a_damaged_index_says_what_to_do(store):
    (store.home / "index.sqlite").write_bytes(b"no database" * 1000)
    for path in store.home.glob("index.sqlite-*"):
        path.unlink()
    store("ls", code=1)
    assert "rebuild" in store.err


def test_a_short_measurement_measures_all(store):
    before = store.json("status")["counts"]
    told = store.json("bench", "--size", "4K", "--threads", "2", "--seconds", "0.03")
    assert {(put["name"], put["threads"]) for put in told["puts"]} == {
        ("raw", 1), ("store", 1), ("raw", 2), ("store", 2),
    }  # fmt: skip
    assert [get["name"] for get in told["gets"]] == ["raw", "hot", "warm", "cold"]
    assert all(get["p50_s"] <= get["p99_s"] for get in told["gets"])
    assert all(put["per_s"] > 0 for put in told["puts"])
    assert store.json("status")["counts"] == before
    assert "store get, cold" in store("bench", "--seconds", "0.02", "--threads", "1")
    assert len(store.json("ls", "--all")["objects"]) == COUNT
    assert not list(Path(store.home, "log").glob("bench*"))
    store("bench", "--threads", "0", code=2)
    store("bench", "--seconds", "0", code=2)


def test_a_measurement_of_what_may_not_be_written_is_refused(tmp_path: Path) -> None:
    Store.init(tmp_path / "home").close()
    with (
        Store(tmp_path / "home", read_only=True) as store,
        pytest.raises(ReadOnlyStore, match="a measurement writes"),
    ):
        bench(store, nbytes=100, seconds=0.02, threads=(2,))


def test_a_measurement_ends_where_the_log_takes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.init(tmp_path / "home") as store:
        (tmp_path / "home" / "log").rename(tmp_path / "away")
        with pytest.raises(errors.TierUnavailable):
            bench(store, nbytes=100, seconds=0.02, threads=(2,))
        (tmp_path / "away").rename(tmp_path / "home" / "log")


@pytest.mark.parametrize("command", ["pin", "unpin", "send"])
def test_commands_that_take_folders_take_the_flag_for_it(store, command):
    tier = [] if command == "unpin" else ["--tier", "cold"]
    assert store.json(command, "t", "-r", *tier)["objects"] == COUNT


def test_tiers_are_added_and_what_is_wrong_changes_nothing(tmp_path, capfdbinary):
    store = Cli(tmp_path / "s", capfdbinary)
    store("init", *SMALL)
    store("add-tier", code=2)
    assert f"fix: ds-sdk store add-tier {tmp_path / 's'} --cold URL" in store.err
    cold, warm = f"{tmp_path / 'cold'}?domains=8", tmp_path / "warm"
    told = store("add-tier", "--cold", cold, "--warm", warm)
    assert told.startswith(f"added 2 tiers to {tmp_path / 's'}\n")
    assert "cold: " in told
    store("add-tier", "--warm", cold, code=1)
    assert "another tier of this store" in store.err
    assert len(store.json("add-tier", "--warm", tmp_path / "more")["tiers"]) == 3


def test_gc_says_what_is_dead_among_what_lives(tmp_path, capfdbinary):
    store = Cli(tmp_path / "s", capfdbinary)
    store("init", *SMALL)
    (tmp_path / "file").write_bytes(bytes(20_000))
    for name in "abc":
        store("put", name, tmp_path / "file")
    with Store(tmp_path / "s") as other:
        for number in range(4):
            other.put(f"k/{number}", bytes(15_000))
        other.delete("k/1")
        other.delete("k/2")
    assert "it is reclaimed when the disk is short of space" in store("gc")
