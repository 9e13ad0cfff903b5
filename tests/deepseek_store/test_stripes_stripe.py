"""Stripes as the index keeps them."""

import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_store.codes import Code
from deepseek_store.stripes import FragmentPlace, Stripe
from deepseek_store.stripes.fragment import payload_lengths
from deepseek_store.stripes.stripe import fragment_key, parse_key


def made(code: str = "lrc(12,2,2)", segments: int = 9, *, seed: int = 1) -> Stripe:
    rng = random.Random(seed)
    parsed = Code.parse(code)
    lengths = payload_lengths(parsed, [rng.randint(1, 999) for _ in range(segments)])
    fragments = []
    for index, nbytes in enumerate(lengths):
        domain = rng.choice(["", "d7", "Schränke 2"])
        stored = FragmentPlace(
            tier=rng.randint(0, 3),
            domain=domain,
            key=fragment_key(domain, 5, index, 3),
            nbytes=nbytes,
            segment=100 + index if index < segments else 0,
            xxh3=rng.choice([None, 0, 2**64 - 1]),
            generation=3,
        )
        fragments.append(stored if nbytes else FragmentPlace())
    return Stripe(id=5, generation=4, tier="warm", code=parsed, created_s=1.5, fragments=fragments)


@pytest.mark.parametrize("code", ["replication(1)", "replication(3)", "rs(20,3)", "lrc(12,2,2)"])
@pytest.mark.parametrize("seed", range(5))
def test_a_stripe_comes_back_from_its_bytes(code: str, seed: int) -> None:
    stripe = made(code, min(9, Code.parse(code).k), seed=seed)
    assert Stripe.from_bytes(stripe.to_bytes()) == stripe
    assert Stripe.from_bytes(memoryview(stripe.to_bytes())) == stripe


def test_a_stripe_of_150_fragments_takes_little_room() -> None:
    stripe = made("lrc(140,4,6)", 140)
    assert len(stripe.to_bytes()) < 6000


@given(st.binary(max_size=200))
def test_other_bytes_are_no_stripe(data: bytes) -> None:
    with pytest.raises(errors.InputError):
        Stripe.from_bytes(data)


def test_no_flipped_or_missing_byte_goes_unseen() -> None:
    packed = made().to_bytes()
    for at in range(len(packed)):
        for bad in (packed[:at], packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :]):
            with pytest.raises(errors.InputError):
                Stripe.from_bytes(bad)


def test_it_tells_what_is_stored_lost_and_zeros() -> None:
    stripe = made("lrc(12,2,2)", 3)
    assert stripe.width == 3
    # Three segments are all of the first group: the second is zeros, its parity too.
    assert stripe.stored == (0, 1, 2, 12, 14, 15)
    assert stripe.virtual == (3, 4, 5, 6, 7, 8, 9, 10, 11, 13)
    hurt = stripe.with_fragments({1: attrs.evolve(stripe.fragments[1], key="")}, 9)
    assert (hurt.lost, hurt.generation) == ((1,), 9)
    assert stripe.index_of(102) == 2
    with pytest.raises(errors.InputError, match="not in stripe 5"):
        stripe.index_of(103)


@pytest.mark.parametrize(
    "lengths",
    [
        (5, 5, 5),  # too few
        (0, 0, 0, 0),  # nothing
        (0, 5, 5, 5),  # zeros before a segment
        (5, 5, 0, 5),  # a parity that is not stored
        (5, 5, 5, 6),  # a parity longer than what it covers
    ],
)
def test_fragments_that_make_no_stripe_are_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(errors.InputError):
        Stripe(
            id=1,
            code=Code.parse("rs(2,2)"),
            fragments=tuple(FragmentPlace(key="k", nbytes=nbytes) for nbytes in lengths),
        )


@given(
    st.sampled_from(["", "d001", "a-b"]),
    st.integers(0, 2**64 - 1),
    st.integers(0, 999),
    st.integers(0, 2**64 - 1),
)
def test_a_key_names_stripe_index_and_generation(
    domain: str, stripe: int, index: int, generation: int
) -> None:
    key = fragment_key(domain, stripe, index, generation)
    assert key.startswith(f"{domain}/stripes/" if domain else "stripes/")
    assert parse_key(domain, key) == (stripe, index, generation)


@pytest.mark.parametrize(
    "key", ["stripes/x", "stripes/01/2.3", "other/0000000000000001/002.3", "stripes//.", "stripes/"]
)
def test_other_keys_name_none(key: str) -> None:
    assert parse_key("", key) is None
