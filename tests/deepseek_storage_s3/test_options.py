"""URLs, good and bad; whatever they hold, no error repeats it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import Secret, errors
from deepseek_storage_s3.options import parse

CANARY = "canary-9f3a7c51"
KEYS = "access_key=env:A_KEY&secret_key=file:/run/secrets/s3"


def test_everything_has_a_place():
    found = parse(
        f"s3://bucket/deep/prefix/?endpoint=https://s3.example:9000&region=eu-west-1&{KEYS}"
        "&session_token=env:T&domains=a,b&nines=9&latency_ms=12&mb_per_s=50&timeout_s=3"
        "&retries=0&give_up_s=9&multipart=64M&verify=0&probe=1&path_style=0"
    )
    assert (found.bucket, found.prefix) == ("bucket", "deep/prefix")
    assert (found.endpoint, found.region) == ("https://s3.example:9000", "eu-west-1")
    assert found.access_key == Secret(env="A_KEY")
    assert found.secret_key == Secret(file="/run/secrets/s3")
    assert found.session_token == Secret(env="T")
    assert (found.domains, found.nines, found.path_style) == (("a", "b"), 9.0, False)
    assert (found.latency_s, found.bytes_per_s, found.timeout_s) == (0.012, 5e7, 3.0)
    assert (found.retries, found.give_up_s, found.multipart_nbytes) == (0, 9.0, 64 << 20)
    assert (found.verify, found.probe) == (False, True)


def test_only_amazon_promises_eleven_nines_unasked():
    assert parse(f"s3://bucket?{KEYS}").nines == 11
    assert parse(f"s3://bucket?{KEYS}&endpoint=https://s3.eu-west-1.amazonaws.com").nines == 11
    assert parse(f"s3://bucket?{KEYS}&endpoint=https://s3.example").nines is None
    assert parse(f"s3://bucket?{KEYS}&endpoint=https://amazonaws.com.example").nines is None


@pytest.mark.parametrize(
    "url",
    [
        f"s3://bucket?access_key={CANARY}&secret_key=env:S",
        f"s3://bucket?access_key=env:A&secret_key={CANARY}",
        f"s3://bucket?secret_key=literal:{CANARY}&access_key=env:A",
        f"s3://bucket?{KEYS}&session_token={CANARY}",
        f"s3://bucket?{KEYS}&region={CANARY.upper()}",
        f"s3://bucket?{KEYS}&endpoint=https://key:{CANARY}@s3.example",
        f"s3://bucket?{KEYS}&endpoint=https://s3.example/?k={CANARY}",
        f"s3://key:{CANARY}@bucket/prefix?{KEYS}",
        f"s3://bucket?{KEYS}&{CANARY}=1",
        f"s3://bucket?{KEYS}&secret={CANARY}",
        f"s3://bucket?{KEYS}&secret_key={CANARY}",
        f"s3:{CANARY}",
    ],
)
def test_a_secret_that_is_written_down_is_refused_and_not_repeated(url):
    with pytest.raises(errors.ConfigError) as caught:
        parse(url)
    assert CANARY.lower() not in f"{caught.value!r} {caught.value} {caught.value.remedy}".lower()
    assert caught.value.remedy


BAD = (
    "region= path_style=maybe domains=0 domains=a,a domains=a/b domains=1001 nines=-1 nines=nan "
    "latency_ms=0 mb_per_s=inf timeout_s=x retries=101 retries=-1 multipart=much endpoint=s3.x "
    "endpoint=ftp://x verify=2 nonsense=1 retries=1&retries=2"
)


@pytest.mark.parametrize("option", BAD.split())
def test_a_bad_option_says_what_to_write(option):
    with pytest.raises(errors.ConfigError) as caught:
        parse(f"s3://bucket?{KEYS}&{option}")
    assert caught.value.remedy


@pytest.mark.parametrize(
    "place", ["s3://", "s3:///x", "s3://b", "s3://bu cket", "s3://bucket/a//b"]
)
def test_a_bad_place_is_refused(place):
    with pytest.raises(errors.ConfigError):
        parse(f"{place}?{KEYS}")


def test_half_a_pair_of_keys_is_refused():
    with pytest.raises(errors.ConfigError, match="names no secret_key"):
        parse("s3://bucket?access_key=env:A")


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_written_is_parsed_or_refused(place, query):
    try:
        found = parse(f"s3://{place}?{KEYS}&{query}")
    except errors.ConfigError as error:
        assert error.remedy or "prefix" in str(error)
    else:
        assert found.bucket
