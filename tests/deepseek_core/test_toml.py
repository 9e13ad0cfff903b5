"""What is written as TOML is what Python's own reader reads."""

import datetime
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from deepseek_core.contracts.toml import as_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.one_of(
    st.booleans(),
    st.dates(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    TEXT,
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))
TABLES = st.recursive(
    st.dictionaries(TEXT, VALUES, max_size=4),
    lambda inner: st.dictionaries(
        TEXT, st.one_of(VALUES, inner, st.lists(inner, min_size=1, max_size=3)), max_size=4
    ),
    max_leaves=8,
)


@given(TABLES)
def test_a_table_comes_back(table):
    assert tomllib.loads(as_toml(table)) == table


def test_what_is_none_is_left_out():
    assert tomllib.loads(as_toml({"a": None, "b": {"c": None}})) == {"b": {}}


def test_sections_are_named_and_what_is_deeper_is_inline():
    tables = {"data": {"kwargs": {"part": "train"}}, "step": [{"use": "prune"}], "seed": 3}
    assert as_toml(tables).splitlines() == [
        "seed = 3", "", "[data]", 'kwargs = { part = "train" }', "", "[[step]]", 'use = "prune"'
    ]  # fmt: skip


def test_a_time_is_one_of_toml():
    tables = {"when": datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)}
    assert tomllib.loads(as_toml(tables)) == tables
