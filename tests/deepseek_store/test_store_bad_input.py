"""What a store makes of bad keys, wrong settings, a bad clock, and interrupts."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from store_kit import SMALL, data_of, fragment_file, urls

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.errors import (
    CacheTooSmall,
    CodeRefused,
    ForeignStore,
    GenerationMismatch,
    KeyRefused,
)


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\0b", "\ud800", "é" * 2049, 7],
    ids=repr,
)
def test_a_key_that_is_none_is_refused_and_says_what_to_use(tmp_path: Path, key: Any) -> None:
    with Store.init(tmp_path / "s") as store:
        store.put("good", b"1")
        for use in (
            lambda: store.put(key, b""),
            lambda: store.put_stream(key, [b""]),
            lambda: store.delete(key),
            lambda: store.copy("good", key),
            lambda: store.rename("good", key),
        ):
            with pytest.raises(KeyRefused) as caught:
                use()
            assert caught.value.remedy
            str(caught.value).encode()  # no half surrogate pair in what is printed
        assert [info.key for info in store.list()] == ["good"]


def test_strange_keys_that_are_keys_work_through_all_tiers_and_a_rebuild(tmp_path: Path) -> None:
    keys = ["k" * 4096, "é" * 2048, "a..b/...", "日本/語", "e\u0301", "\u00e9", " ", "\n", "🦆"]
    keys += ["..a", "a..", "%2e%2e", "con", "a\\b", "x" * 300 + "/" + "y" * 300]
    with Store.init(tmp_path / "s", policy=SMALL, **urls(tmp_path)) as store:
        for number, key in enumerate(keys):
            store.put(key, data_of(key, 100 + number))
        store.maintenance.send(keys[::2], "cold")
        store.maintenance.apply(store.maintenance.plan(flush=True))
        assert [info.key for info in store.list()] == sorted(keys)
    for rebuilt in (False, True):
        if rebuilt:
            Store.rebuild(tmp_path / "s")
        with Store(tmp_path / "s") as store:
            for number, key in enumerate(keys):
                assert bytes(store.get(key)) == data_of(key, 100 + number)


def test_a_code_that_changes_after_data_was_written_leaves_old_stripes_readable(
    tmp_path: Path,
) -> None:
    keys = [f"k/{number}" for number in range(12)]
    with Store.init(tmp_path / "s", policy=SMALL, **urls(tmp_path)) as store:
        for key in keys:
            store.put(key, data_of(key))
        store.maintenance.send(keys[:6], "cold")
        old = {stripe.code.name for stripe in store.parts.state.stripes.values()}
    path = tmp_path / "s" / "store.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["policy"]["codes"]["cold"] = "rs(8,4)"
    path.write_text(json.dumps(content), encoding="utf-8")
    with Store(tmp_path / "s") as store:
        store.maintenance.send(keys[6:], "cold")
        new = {stripe.code.name for stripe in store.parts.state.stripes.values()}
        assert len(new) == 2 and old < new
        first = min(store.parts.state.stripes)
        fragment_file(tmp_path / "cold", first, 0).unlink()
        for key in keys:
            assert bytes(store.get(key)) == data_of(key)


def test_a_code_that_the_domains_can_not_carry_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    policy = Policy(codes={"hot": "auto", "warm": "auto", "cold": "lrc(140,4,6)"})
    with pytest.raises(CodeRefused) as caught:
        Store.init(tmp_path / "s", cold=["memory://bad-few?domains=3"], policy=policy)
    assert caught.value.remedy
    assert not list((tmp_path / "s").iterdir())


def test_a_cache_smaller_than_one_shard_is_refused_when_the_store_is_made_or_opened(
    tmp_path: Path,
) -> None:
    with pytest.raises(CacheTooSmall) as caught:
        Store.init(tmp_path / "s", policy=Policy(cache_nbytes=1000))
    assert caught.value.remedy
    assert not list((tmp_path / "s").iterdir())
    Store.init(tmp_path / "s").close()
    path = tmp_path / "s" / "store.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for nbytes in (1000, 0, 64 << 20):
        content["policy"]["cache_nbytes"] = nbytes
        path.write_text(json.dumps(content), encoding="utf-8")
        if nbytes == 1000:
            with pytest.raises(CacheTooSmall) as caught:
                Store(tmp_path / "s")
            assert caught.value.remedy
        else:
            Store(tmp_path / "s").close()


def test_a_clock_that_jumps_back_and_forth_loses_nothing_and_keeps_moving(tmp_path: Path) -> None:
    rng = random.Random(4)
    clock_s = [1.7e9]
    policy = Policy.from_json({**SMALL.to_json(), "grace_s": 3600.0, "min_residence_s": 3600.0})
    wanted: dict[str, bytes] = {}
    options: dict[str, Any] = {"clock": lambda: clock_s[0]}
    store = Store.init(tmp_path / "s", policy=policy, **urls(tmp_path), **options)
    for turn in range(60):
        clock_s[0] = rng.choice((0.0, 1.7e9, 1.7e9 + rng.uniform(-1e7, 1e7), 4e9, 1.0))
        key, data = f"k/{rng.randrange(10)}", data_of(turn)
        store.put(key, data)
        wanted[key] = data
        store.maintenance.send([rng.choice(sorted(wanted))], rng.choice(("hot", "warm", "cold")))
        store.maintenance.apply(store.maintenance.plan(flush=bool(turn % 2)))
        if turn % 5 == 0:
            store.delete(wanted and (gone := rng.choice(sorted(wanted))))
            del wanted[gone]
            store.maintenance.gc()
        if turn % 20 == 0:
            store.close()
            store = Store(tmp_path / "s", **options)
        for name, content in wanted.items():
            assert bytes(store.get(name)) == content
        assert len(store) == len(wanted)
    store.close()


# One that falls into a `__del__` is swallowed there by Python, with a warning.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("no_logs")
def test_an_interrupt_at_any_moment_of_a_put_leaves_the_store_in_order(tmp_path: Path) -> None:
    # By key: what was acknowledged last, then what was interrupted since, which may count or not.
    allowed: dict[str, list[bytes | None]] = {f"k/{number}": [None] for number in range(8)}
    interrupted = 0

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    rng = random.Random(9)
    try:
        with Store.init(tmp_path / "s", policy=SMALL) as store:
            store.put("first", b"")  # starts the thread: that is no moment for Python to interrupt
            while interrupted < 150:
                key, data = f"k/{rng.randrange(8)}", rng.randbytes(rng.choice((10, 4000, 150_000)))
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 1e-3))
                    store.put(key, data, if_generation=_generation(store, key, rng))
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except (KeyboardInterrupt, GenerationMismatch) as error:
                    # One that was interrupted may come late, in between.
                    interrupted += isinstance(error, KeyboardInterrupt)
                    allowed[key].append(data)
                else:
                    allowed[key] = [data]
                signal.setitimer(signal.ITIMER_REAL, 0)
                assert (bytes(store.get(key)) if store.exists(key) else None) in allowed[key]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with Store(tmp_path / "s") as store:
        for key, values in allowed.items():
            assert (bytes(store.get(key)) if store.exists(key) else None) in values


def _generation(store: Store, key: str, rng: random.Random) -> int | None:
    """Now and then a condition that holds: what compares waits for those who do not."""
    if rng.random() < 0.5:
        return None
    return store.stat(key).generation if store.exists(key) else 0


@pytest.mark.parametrize("meta", [{"epoch": 7}, {7: "epoch"}, ["epoch"], "epoch", 7], ids=repr)
def test_meta_that_is_no_mapping_of_texts_is_refused(tmp_path: Path, meta: Any) -> None:
    with Store.init(tmp_path / "s") as store:
        for use in (
            lambda: store.put("key", b"", meta=meta),
            lambda: store.put_stream("key", [b""], meta=meta),
            lambda: store.begin("key", meta=meta),
        ):
            with pytest.raises(errors.InputError, match="texts"):
                use()
        assert list(store) == []


@pytest.mark.parametrize("name", ["", 7, None, b"monday"], ids=repr)
def test_a_snapshot_without_a_name_is_refused(tmp_path: Path, name: Any) -> None:
    with Store.init(tmp_path / "s") as store:
        with pytest.raises(errors.InputError, match="is not a name"):
            store.snapshot(name)
        assert list(store.snapshots()) == []


def test_who_comes_second_to_make_a_store_leaves_that_of_the_first_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, look = tmp_path / "s", Path.iterdir

    def just_before(folder: Path) -> Any:
        found = list(look(folder))
        if folder == home:
            monkeypatch.undo()
            Store.init(home).close()
        return iter(found)

    monkeypatch.setattr(Path, "iterdir", just_before)
    with pytest.raises(errors.ConfigError, match="another process"):
        Store.init(home)
    with Store(home) as store:
        store.put("key", b"1")


def test_a_store_without_its_configuration_is_not_told_to_be_none(tmp_path: Path) -> None:
    with Store.init(tmp_path / "s") as store:
        store.put("key", b"1")
    (tmp_path / "s" / "store.json").rename(tmp_path / "backup")
    for use in (Store, Store.rebuild):
        with pytest.raises(ForeignStore, match="missing") as caught:
            use(tmp_path / "s")
        assert "backup" in (caught.value.remedy or "")
    (tmp_path / "backup").rename(tmp_path / "s" / "store.json")
    with Store(tmp_path / "s") as store:
        assert bytes(store.get("key")) == b"1"
