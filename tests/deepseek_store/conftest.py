"""What the tests of the store share: real PostgreSQL servers, homes and their sites."""

import logging
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests import what lies beside them by name.
sys.path.insert(0, str(Path(__file__).parent))

from care_kit import Site
from home_kit import Operator
from index_places import IndexPlace
from postgres_server import PostgresServer, missing
from store_cli import Cli

from deepseek_store.fs.filesystem import DeepSeekFileSystem
from deepseek_store.home import owner_watch, tier_set


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that runs for all tests; use a schema of your own. Not for tests that kill it."""
    if why := missing():
        pytest.skip(why)
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def frail() -> Iterator[PostgresServer]:
    """A server that tests kill; each starts it again."""
    if why := missing():
        pytest.skip(why)
    with PostgresServer() as server:
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A home that is not there yet, and tiers in memory that can be out of order."""
    made = Site(tmp_path)
    yield made
    made.forget()


@pytest.fixture
def tiers_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tier that was out of reach is asked again by the next who needs it."""
    monkeypatch.setattr(tier_set, "_RETRY_S", 0.0)
    monkeypatch.setattr(tier_set, "_RETRY_SHARE", 0.0)


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """A home that is not there yet, with a cold tier, and backups of both."""
    # A tier that is there is heard before the first put, however busy the machine.
    monkeypatch.setattr(owner_watch, "_FIRST_WAIT_S", 30.0)
    return Operator(tmp_path)


@pytest.fixture
def fs(home: str) -> DeepSeekFileSystem:
    """The filesystem of the `home` of a module."""
    return DeepSeekFileSystem(home)


@pytest.fixture(params=["sqlite", "postgres"])
def index_place(request: pytest.FixtureRequest, tmp_path: Path) -> IndexPlace:
    """A place for an index, once in each database."""
    if request.param == "sqlite":
        return IndexPlace("sqlite", tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    return IndexPlace(server.url(f"s_{secrets.token_hex(6)}"), tmp_path)


@pytest.fixture
def cli(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """`ds-sdk store` for a home that is not there yet."""
    return Cli(tmp_path / "home", capfdbinary)


@pytest.fixture
def no_logs():
    """Nothing is logged: an interrupt inside of `logging` leaves a lock of its handlers taken.

    Whoever logs after that, in any other thread and test, waits for ever. That is Python's fault,
    and would hide what a test of interrupts is about.
    """
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
