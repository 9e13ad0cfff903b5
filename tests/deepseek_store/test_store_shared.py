"""Several processes, and several threads, at one store."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer, missing

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.errors import GenerationMismatch, IndexUnavailable, StoreLocked
from deepseek_store.index.rows import Batch
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.records import Buffer, Record

HAMMER = Path(__file__).with_name("hammer.py")
SMALL = Policy(warm_fragment_nbytes=64 << 10, sizing=64 << 10, grace_s=0.0)


def hammer(*arguments: str) -> str:
    """In a process of its own, for it forks."""
    done = subprocess.run(
        [sys.executable, str(HAMMER), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_processes_lose_no_update_and_read_what_others_have_acknowledged() -> None:
    assert "nothing lost" in hammer("shared", "--seconds", "3")


def test_nor_do_two_whose_database_is_killed_again_and_again() -> None:
    if why := missing():
        pytest.skip(why)
    text = hammer("postgres", "--seconds", "3.5")
    assert re.search(r"was killed [1-9]\d* times: nothing lost", text), text


class Meets(FileDisk):
    """Does something once, when the first group of a segment is to be written."""

    before_group: Callable[[], None] | None = None

    def write_at(self, name: str, offset: int, parts: Sequence[Buffer]) -> None:
        if offset and (meet := self.before_group) is not None:
            self.before_group = None
            meet()
        super().write_at(name, offset, parts)


def test_a_segment_that_another_gave_up_empty_is_nothing_to_warn_of(tmp_path: Path) -> None:
    home = tmp_path / "s"
    Store.init(home, policy=SMALL, shared=True).close()
    disk = Meets(home / "log")
    with ExitStack() as stack:
        one = stack.enter_context(Store(home, shared=True, disk=disk))

        def meet() -> None:
            stack.enter_context(Store(home, shared=True))  # which sees the segment begun
            raise errors.TierUnavailable("it failed", url=disk.url, remedy="look")

        disk.before_group = meet
        with pytest.raises(errors.TierUnavailable):
            one.put("k", b"x")
        with Store(home, shared=True) as other:
            assert [row.state for row in other.parts.state.segments.values()] == ["active"]
            assert other.maintenance.fsck(deep=True).findings == ()
    with Store(home, shared=True) as store:
        assert dict(store.parts.state.segments) == {}


def test_a_segment_that_a_killed_process_left_empty_is_forgotten_at_once(tmp_path: Path) -> None:
    home = tmp_path / "s"
    Store.init(home, policy=SMALL, shared=True).close()
    with subprocess.Popen(
        [sys.executable, "-c", _BEGIN, str(home)], stdout=subprocess.PIPE, cwd=HAMMER.parent
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        with Store(home, shared=True) as store:
            assert [row.state for row in store.parts.state.segments.values()] == ["active"]
        process.kill()
    with Store(home, shared=True) as store:
        assert dict(store.parts.state.segments) == {}
        assert store.maintenance.fsck(deep=True).findings == ()


_BEGIN = """
import sys, time
from pathlib import Path
from deepseek_store import Store
from test_store_shared import Meets
def meet():
    print("begun", flush=True)
    time.sleep(60)
disk = Meets(Path(sys.argv[1]) / "log")
disk.before_group = meet
Store(sys.argv[1], shared=True, disk=disk).put("k", b"x")
"""


def test_compare_and_set_holds_when_the_database_forgets_its_locks(
    tmp_path: Path, frail: PostgresServer
) -> None:
    url = frail.url("forgets")
    with (
        Store.init(tmp_path / "s", index=url, policy=SMALL) as ours,
        Store(tmp_path / "s") as theirs,
    ):
        generation = ours.put("n", b"0").generation
        append = ours.parts.journal.append

        def late(records: Sequence[Record], **options: Any) -> Any:
            # The lock on the key is held, and what it holds was compared.
            frail.stop("immediate")
            frail.start()
            theirs.put("n", b"theirs", if_generation=generation)
            return append(records, **options)

        ours.parts.journal.append = late  # type: ignore[method-assign]
        with pytest.raises(GenerationMismatch) as caught:
            ours.put("n", b"ours", if_generation=generation)
        assert caught.value.found > generation
        ours.parts.journal.append = append  # type: ignore[method-assign]
        assert bytes(ours.get("n")) == bytes(theirs.get("n")) == b"theirs"
    with Store(tmp_path / "s") as store:
        assert bytes(store.get("n")) == b"theirs"


def test_a_second_writer_is_refused_unless_both_share(tmp_path: Path) -> None:
    with Store.init(tmp_path / "s") as store:
        store.put("a", b"1")
        for shared in (False, True):
            with pytest.raises(StoreLocked, match="shared") as caught:
                Store(tmp_path / "s", shared=shared)
            assert caught.value.retryable
        assert bytes(store.get("a")) == b"1"
    with Store(tmp_path / "s", shared=True) as one, Store(tmp_path / "s", shared=True) as two:
        two.put("a", b"2")
        assert bytes(one.get("a")) == b"2"
        with pytest.raises(StoreLocked):
            Store(tmp_path / "s")


def test_thirty_two_threads_read_what_they_write_and_never_half_of_it(tmp_path: Path) -> None:
    with Store.init(tmp_path / "s", warm=["memory://threads?domains=6"], policy=SMALL) as store:
        stop = threading.Event()

        def work(number: int) -> int:
            rng = random.Random(number)
            mine: dict[str, bytes] = {}
            for turn in range(14):
                key, data = f"{number}/{rng.randrange(4)}", rng.randbytes(rng.randrange(90_000))
                if turn % 7 == 6:
                    store.delete(key)
                    mine.pop(key, None)
                else:
                    store.put(key, data)
                    mine[key] = data
                store.put("all", bytes([number]) * rng.randrange(1, 70_000))
                assert len(set(bytes(store.get("all")))) == 1
                for name, wanted in mine.items():
                    assert bytes(store.get(name)) == wanted
            return len(mine)

        def care() -> None:
            while not stop.is_set():
                store.maintenance.apply(store.maintenance.plan(flush=True))
                store.maintenance.gc()

        keeper = threading.Thread(target=care)
        keeper.start()
        try:
            with ThreadPoolExecutor(32) as pool:
                counts = list(pool.map(work, range(32)))
        finally:
            stop.set()
            keeper.join()
        assert len(store) == sum(counts) + 1


def test_a_collection_spares_an_object_that_is_still_being_written(tmp_path: Path) -> None:
    data = random.Random(5).randbytes(600_000)
    with Store.init(tmp_path / "s", policy=SMALL) as store:

        def chunks() -> Iterator[bytes]:
            for at in range(0, len(data), 100_000):
                yield data[at : at + 100_000]
                store.parts.journal.seal()
                store.maintenance.gc()

        store.put_stream("stream", chunks())
        assert bytes(store.get("stream")) == data
    with Store(tmp_path / "s") as store:
        assert bytes(store.get("stream")) == data


def test_a_collection_by_another_process_spares_it_too(tmp_path: Path) -> None:
    data = random.Random(6).randbytes(600_000)
    Store.init(tmp_path / "s", policy=SMALL).close()
    with Store(tmp_path / "s", shared=True) as ours, Store(tmp_path / "s", shared=True) as theirs:

        def chunks() -> Iterator[bytes]:
            for at in range(0, len(data), 100_000):
                yield data[at : at + 100_000]
                ours.parts.journal.seal()
                theirs.maintenance.gc()

        ours.put_stream("stream", chunks())
        assert bytes(theirs.get("stream")) == data


@pytest.mark.parametrize("shared", [False, True])
def test_a_copy_keeps_bytes_whose_source_is_deleted_and_collected_meanwhile(
    tmp_path: Path, shared: bool
) -> None:
    data = random.Random(7).randbytes(5000)
    Store.init(tmp_path / "s", policy=SMALL).close()
    with Store(tmp_path / "s", shared=shared) as store:
        store.put("source", data)
        store.parts.journal.seal()
        append = store.parts.journal.append

        def late(records: Sequence[Record], **options: Any) -> Any:
            # Another thread, between the look-up of the source and the record of the copy.
            store.parts.journal.append = append  # type: ignore[method-assign]
            store.delete("source")
            store.maintenance.gc()
            return append(records, **options)

        store.parts.journal.append = late  # type: ignore[method-assign]
        store.copy("source", "target")
        assert bytes(store.get("target")) == data
        store.maintenance.gc()
        assert bytes(store.get("target")) == data
    with Store(tmp_path / "s") as store:
        assert bytes(store.get("target")) == data
        with pytest.raises(errors.ObjectMissing):
            store.get("source")


def test_a_plan_leaves_out_what_another_process_has_collected_meanwhile(tmp_path: Path) -> None:
    tiers = {"warm": ["memory://plan-left-out?domains=6"]}
    Store.init(tmp_path / "s", policy=SMALL, **tiers).close()
    with Store(tmp_path / "s", shared=True) as ours, Store(tmp_path / "s", shared=True) as theirs:
        for number in range(8):
            ours.put(f"k/{number}", bytes([number]) * 30_000)
        moves = ours.maintenance.plan(flush=True)
        assert {move.kind for move in moves.moves} == {"adopt"}
        for number in range(7):
            theirs.delete(f"k/{number}")
        assert theirs.maintenance.gc().segments
        ours.maintenance.apply(moves)
        assert bytes(theirs.get("k/7")) == bytes([7]) * 30_000
        assert len(theirs) == 1


def test_a_seal_that_the_index_was_away_for_is_told_with_the_next_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.init(tmp_path / "s", policy=SMALL, shared=True) as store:
        store.put("a", bytes(50_000))
        commit = store.parts.state.commit
        refused: list[Batch] = []

        def away(batch: Batch) -> None:
            if not refused:
                refused.append(batch)
                raise IndexUnavailable("the server is gone", url="postgresql:")
            commit(batch)

        monkeypatch.setattr(store.parts.state, "commit", away)
        store.put("b", bytes(50_000))  # does not fit in: the first segment is sealed
        assert [row.state for row in refused[0].segments] == ["sealed"]
        states = {row.id: row.state for row in store.parts.state.index.segments()}
        assert [states[number] for number in sorted(states)] == ["sealed", "active"]
