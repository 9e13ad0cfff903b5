"""Opens the models of the corpus one at a time, for the tests and for `run_corpus.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The tests import the packages beside them by name.
sys.path.insert(0, str(Path(__file__).parent))

from corpus_kit.case import Case
from corpus_kit.desk import Desk
from corpus_kit.subject import Subject
from real_models.packages import Missing

from deepseek_core import Session


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let every report of a test tell its model and its way of running."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    case, way = parameters.get("subject"), parameters.get("way")
    if isinstance(case, Case) and way is not None:
        row = {"model": case.name, "package": case.origin, "domain": case.kind, "way": way}
        item.user_properties.append(("corpus", row))


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The SDK in an empty home."""
    return Desk(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def session(desk: Desk) -> Iterator[Session]:
    """One session for all models, as a service would have it."""
    with desk.open_session() as opened:
        yield opened


@pytest.fixture(scope="module")
def subject(
    request: pytest.FixtureRequest,
    desk: Desk,
    session: Session,
    tmp_path_factory: pytest.TempPathFactory,
) -> Subject:
    """The case of the test, opened once for all ways to run it."""
    case: Case = request.param
    try:
        return Subject(case, tmp_path_factory.mktemp("model"), desk, session)
    except Missing as missing:
        pytest.skip(str(missing))
