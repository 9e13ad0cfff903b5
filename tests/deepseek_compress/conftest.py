"""What these tests have in common is found out once."""

from importlib.util import find_spec

import process
import pytest


@pytest.fixture(scope="session", autouse=True)
def _operators_read_once():
    if find_spec("torch") is None:
        yield
        return
    with process.operators_read_once():
        yield
