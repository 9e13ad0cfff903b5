"""What the tests of the store share: a real PostgreSQL server."""

import logging
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests import what lies beside them by name.
sys.path.insert(0, str(Path(__file__).parent))

from index_places import IndexPlace
from postgres_server import PostgresServer, missing
from store_cli import Cli


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that runs for all tests; use a schema of your own. Not for tests that kill it."""
    if why := missing():
        pytest.skip(why)
    with PostgresServer() as server:
        yield server


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
