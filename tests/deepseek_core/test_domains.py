"""`domains=` of a URL: one reading of it, for every plugin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import Tier


@pytest.mark.parametrize(
    ("text", "names"),
    [("1", ("d0",)), ("3", ("d0", "d1", "d2")), ("rack-1,b", ("rack-1", "b")), ("_x", ("_x",))],
)
def test_a_number_or_names(text, names):
    assert Tier.read_domains(text) == names


BAD = ["", "0", "1001", "9" * 40, "-1", "a,a", "a/b", "a,", ",a", "a b", ".a", "x" * 101]


@pytest.mark.parametrize("text", [*BAD, ",".join(f"n{i}" for i in range(1001))])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="give 1 to 1000"):
        Tier.read_domains(text)


@given(st.text(max_size=30))
def test_what_is_read_are_different_parts_of_keys(text):
    try:
        names = Tier.read_domains(text)
    except ValueError:
        return
    assert 0 < len(names) == len(set(names)) <= 1000
    for name in names:
        Tier.check_key(f"{name}/key")
