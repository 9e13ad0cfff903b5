"""What is written as TOML is what Python's own reader reads."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from deepseek_compress.recipe.toml import as_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.one_of(
    st.booleans(),
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
