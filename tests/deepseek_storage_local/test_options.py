"""URLs of folders, good and bad."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_storage_local.options import parse, read_nbytes

URL = Path("/data/tier").as_uri()


def test_everything_has_a_place():
    found = parse(f"{URL}?domains=a,b&profile=hdd&direct=1&create=0&exclusive=1&capacity=1.5G")
    assert (found.root, found.domains, found.medium) == (Path("/data/tier"), ("a", "b"), "hdd")
    assert (found.direct, found.create, found.exclusive) == (True, False, True)
    assert found.capacity_nbytes == 3 << 29
    assert parse(f"{URL}?domains=3").domains == ("d0", "d1", "d2")
    assert parse(URL).create and not parse(URL).exclusive


def test_any_folder_can_be_named():
    for folder in (Path("/a b"), Path("/q?x=1"), Path("/ü/权#1"), Path("/100%")):
        assert parse(folder.as_uri()).root == folder


BAD = (
    "domains=0 domains=1001 domains= domains=a,a domains=a/b domains=.ds domains=.. profile=tape "
    "direct=maybe capacity=-1 capacity=much latency_ms=0 mb_per_s=nan latency_ms=inf nonsense=1 "
    "direct=1&direct=0"
)


@pytest.mark.parametrize("option", BAD.split())
def test_a_bad_option_says_what_to_write(option):
    with pytest.raises(errors.ConfigError) as caught:
        parse(f"{URL}?{option}")
    assert caught.value.remedy


def test_a_slip_is_corrected():
    with pytest.raises(errors.ConfigError, match="did you mean domains"):
        parse(f"{URL}?domain=3")


@pytest.mark.parametrize("url", ["file:relative", "s3:x", "file:", "file://host/x", "file:/a%00b"])
def test_what_is_no_folder_of_this_machine_is_refused(url):
    with pytest.raises(errors.ConfigError, match="no absolute folder"):
        parse(url)


@given(st.integers(0, 1 << 50), st.sampled_from(["", "k", "M", "G", "kB", "MiB"]))
def test_sizes_are_binary(number, unit):
    scale = {"": 1, "k": 1024, "m": 1 << 20, "g": 1 << 30}[unit[:1].lower()]
    assert read_nbytes(f"{number}{unit}") == number * scale


@given(st.text(max_size=60))
def test_whatever_is_written_is_parsed_or_refused(query):
    try:
        found = parse(f"{URL}?{query}")
    except errors.ConfigError as error:
        assert error.remedy
    else:
        assert found.root == Path("/data/tier")
