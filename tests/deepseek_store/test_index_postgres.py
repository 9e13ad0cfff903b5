"""PostgreSQL that goes away, and the password that nobody is to see."""

import logging
import multiprocessing
import pickle
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from index_places import STORE, IndexPlace, increment
from postgres_server import PostgresServer

from deepseek_core import errors
from deepseek_store.errors import IndexUnavailable
from deepseek_store.index.catalog import Catalog
from deepseek_store.index.opening import open_index
from deepseek_store.index.port import Transaction
from deepseek_store.index.postgres import PostgresIndex
from deepseek_store.index.postgres_url import PostgresUrl
from deepseek_store.index.rows import Batch, Version

_FORK = multiprocessing.get_context("fork")


def _count_and_tell(place: IndexPlace, writer: int, times: int, told: Connection) -> None:
    """Each increment that was acknowledged is told, and counted only then."""
    with place.open(create=False) as index:
        catalog, seen = Catalog(), 0
        for _ in range(times):
            seen = increment(index, catalog, seen, writer)
            newest = next(v for v in catalog.versions("n") if v.writer == writer)
            told.send((newest.id, newest.meta))
            time.sleep(0.002)
    told.send(None)


def test_nothing_acknowledged_is_lost_or_done_twice_when_the_server_is_killed_under_load(
    frail: PostgresServer, tmp_path: Path
) -> None:
    place, times = IndexPlace(frail.url("killed"), tmp_path), 150
    place.open().close()
    pipes = [_FORK.Pipe(duplex=False) for _ in range(2)]
    children = [
        _FORK.Process(
            target=_count_and_tell, args=(place, writer, times, pipes[writer][1]), daemon=True
        )
        for writer in range(2)
    ]
    for child in children:
        child.start()
    told: list[tuple[tuple[str, int, int], bytes]] = []
    for stop_at in (40, 120, 200):
        _hear(pipes, told, until=stop_at)
        frail.stop("immediate")
        frail.start()
    _hear(pipes, told, until=2 * times)
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0]
    with place.open(create=False) as index:
        catalog = Catalog()
        index.load(catalog)
    kept = {version.id: version.meta for version in catalog.versions("n")}
    assert dict(told) == kept
    # Each of the numbers once: no increment was lost, and none was applied twice.
    assert sorted(int(meta) for meta in kept.values()) == list(range(1, 2 * times + 1))


def _hear(
    pipes: list[tuple[Connection, Connection]],
    told: list[tuple[tuple[str, int, int], bytes]],
    until: int,
) -> None:
    end_s = time.monotonic() + 60
    while len(told) < until:
        assert time.monotonic() < end_s, f"only {len(told)} of {until} were told"
        for reading, _ in pipes:
            while reading.poll(0.005):
                item = reading.recv()
                if item is not None:
                    told.append(item)
                if len(told) >= until:
                    return


def test_a_commit_whose_answer_was_lost_is_not_done_again(frail: PostgresServer) -> None:
    with PostgresIndex(frail.url("outcome"), STORE, create=True) as index:
        database = index._database
        once = database._once  # type: ignore[attr-defined]
        losing = [True]

        def lose_the_answer(work: Callable[[Transaction], object], options: object) -> object:
            result = once(work, options)
            if losing:
                losing.pop()
                raise IndexUnavailable("the answer was lost", url=index.url)
            return result

        database._once = lose_the_answer  # type: ignore[attr-defined]
        assert index.allocate("n") == 1
        assert index.allocate("n") == 2
        losing.append(True)
        snapshot = index.snapshot("s", 1.0)
        assert snapshot.name == "s"
        losing.append(True)
        seq = index.commit(Batch(versions=[Version(key="k", generation=1, writer=1)]))
        assert index.changes_since(seq - 1).versions[0].key == "k"
        del database._once  # type: ignore[attr-defined]


def test_a_server_that_stays_away_is_told_after_a_while_and_used_when_it_is_back(
    frail: PostgresServer,
) -> None:
    with PostgresIndex(frail.url("away"), STORE, create=True, retry_s=0.3) as index:
        with index.exclusive("k"):
            frail.stop("immediate")
        batch = Batch(versions=[Version(key="k", generation=1, writer=1)], expect={"k": 0})
        for use in (lambda: index.commit(batch), index.poll, lambda: index.changes_since(0)):
            with pytest.raises(IndexUnavailable) as away:
                use()
            assert away.value.retryable
            assert away.value.remedy
        with pytest.raises(IndexUnavailable):
            PostgresIndex(frail.url("away"), STORE)
        frail.start()
        index.commit(batch)
        index.commit(batch)
        assert index.changes_since(0).versions == tuple(batch.versions)


def test_a_wrong_password_fails_at_once_and_is_not_shown(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(postgres.variable, "canary-but-wrong")
    start_s = time.monotonic()
    with pytest.raises(IndexUnavailable, match="password authentication failed") as refused:
        PostgresIndex(postgres.url("wrong"), STORE, retry_s=600.0)
    assert time.monotonic() - start_s < 60
    assert "canary" not in _all_there_is_to_see(refused.value)
    monkeypatch.delenv(postgres.variable)
    with pytest.raises(errors.ConfigError, match=postgres.variable):
        PostgresIndex(postgres.url("wrong"), STORE)


def _all_there_is_to_see(error: BaseException) -> str:
    """Text, fields, and the whole chain of tracebacks with the variables of each frame."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    # The frames of the test itself know the password.
    frames = "".join(line for line in shown.format(chain=True) if __file__ not in line)
    return f"{error!r} {error} {vars(error)} {frames}"


def test_the_password_appears_nowhere(
    frail: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = frail.password
    url = frail.url("canary")
    seen = [repr(PostgresUrl.parse(url)), PostgresUrl.parse(url).shown]
    with PostgresIndex(url, STORE, create=True, retry_s=0.1) as index:
        index.commit(Batch(versions=[Version(key="k", generation=1, writer=1)], meta={"a": "b"}))
        seen += [repr(index), index.url, repr(vars(index)), repr(vars(index._database))]
        seen.append(_dump(index))
        with pytest.raises(TypeError):
            pickle.dumps(PostgresUrl.parse(url))
        frail.stop("immediate")
        with pytest.raises(IndexUnavailable) as away:
            index.poll()
        seen.append(_all_there_is_to_see(away.value))
        frail.start()
    seen += [caplog.text, frail.log]
    assert len(canary) > 16
    assert not [text for text in seen if canary in text]


def _dump(index: PostgresIndex) -> str:
    """Every row of every table."""

    def work(transaction: Transaction) -> str:
        tables = transaction.run(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'canary'"
        )
        assert len(tables) > 10
        return repr([transaction.run(f"SELECT * FROM {name}") for (name,) in tables])

    return index._database.read(work)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:canary@host/db",
        "postgresql://user@host/db?password=canary",
        "postgresql://user@host/db?password=env:",
        "postgresql://user@host/db?canary=1",
        "postgresql://user@host/db?schema=Robert'); DROP",
        "postgresql://user@host/db?options=-c%20search_path=x",
        "postgresql://user@host:canary/db",
        "postgresql://user@host/db?canary",
    ],
)
def test_a_url_with_a_password_or_a_strange_setting_is_refused_without_being_repeated(
    url: str, tmp_path: Path
) -> None:
    with pytest.raises(errors.ConfigError, match="password=env:VARIABLE") as refused:
        open_index(url, tmp_path, STORE)
    # The name of a setting is told, a value never is.
    shown = f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
    assert "canary" not in shown.replace("no setting canary", "")
    assert "Robert" not in shown


def test_a_url_tells_where_the_database_is() -> None:
    parsed = PostgresUrl.parse(
        "postgresql://me%40here@db.example:5433/store?schema=a_1&sslmode=require"
    )
    assert parsed.settings == {
        "user": "me@here",
        "host": "db.example",
        "port": "5433",
        "dbname": "store",
        "sslmode": "require",
    }
    assert parsed.password is None
    assert parsed.shown == "postgresql://me@here@db.example:5433/store?schema=a_1"


def test_stores_in_two_schemas_of_one_database_do_not_meet(postgres: PostgresServer) -> None:
    other = b"another store..."
    with (
        PostgresIndex(postgres.url("mine"), STORE, create=True) as mine,
        PostgresIndex(postgres.url("yours"), other, create=True) as yours,
    ):
        mine.commit(Batch(versions=[Version(key="k", generation=1, writer=1)]))
        catalog = Catalog()
        yours.load(catalog)
        assert len(catalog) == 0
        with mine.exclusive("k"), yours.exclusive("k"):
            pass
