"""10,000 patterns of lost fragments for every family, and all patterns of small codes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pytest

from deepseek_store.codes import Code, Codec
from deepseek_store.errors import Unrecoverable

NBYTES = 64
# family -> code -> how many random patterns; 10,000 for each family
PATTERNS = {
    "replication": {"replication(2)": 2000, "replication(3)": 4000, "replication(5)": 4000},
    "rs": {"RS(4,2)": 3000, "RS(6,3)": 3000, "RS(14,4)": 3000, "RS(84,6)": 1000},
    "lrc": {
        "LRC(12,2,2)": 3000,
        "LRC(10,3,2)": 2000,
        "LRC(48,4,3)": 2000,
        "LRC(126,3,6)": 1000,
        "LRC(140,4,6)": 1200,
        "LRC(216,4,8)": 800,
    },
}


def _stripe(codec: Codec, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    data = [rng.bytes(NBYTES) for _ in range(codec.code.k)]
    return data + [bytes(made) for made in codec.encode(data, NBYTES)]


def _check(codec: Codec, stripe: list[bytes], lost: Iterable[int]) -> None:
    plan = codec.plan(list(lost))
    assert not set(plan.reads) & set(lost)
    made = codec.rebuild(plan, {index: stripe[index] for index in plan.reads}, NBYTES)
    assert made == {index: stripe[index] for index in lost}


@pytest.mark.parametrize("family", PATTERNS)
def test_ten_thousand_random_patterns_up_to_the_guarantee_decode_exactly(family: str) -> None:
    assert sum(PATTERNS[family].values()) == 10_000
    for seed, (name, count) in enumerate(PATTERNS[family].items()):
        codec = Codec(Code.parse(name))
        stripe, rng = _stripe(codec, seed), np.random.default_rng(seed)
        for _ in range(count):
            losses = int(rng.integers(1, codec.code.tolerance + 1))
            _check(codec, stripe, rng.permutation(codec.code.n)[:losses].tolist())


@pytest.mark.parametrize(
    "name", ["replication(3)", "RS(4,2)", "RS(6,3)", "LRC(6,2,2)", "LRC(8,3,2)"]
)
def test_every_pattern_of_a_small_code_decodes_exactly_or_is_refused(name: str) -> None:
    codec = Codec(Code.parse(name))
    stripe = _stripe(codec, 1)
    for losses in range(1, codec.code.n - codec.code.k + 2):
        for lost in combinations(range(codec.code.n), losses):
            if codec.decodable(lost):
                _check(codec, stripe, lost)
            else:
                assert losses > codec.code.tolerance
                with pytest.raises(Unrecoverable):
                    codec.plan(lost)


@pytest.mark.parametrize("name", ["LRC(12,2,2)", "LRC(48,4,3)", "LRC(140,4,6)"])
def test_a_pattern_beyond_the_guarantee_decodes_exactly_or_raises(name: str) -> None:
    codec = Codec(Code.parse(name))
    stripe, rng, refused = _stripe(codec, 2), np.random.default_rng(2), 0
    code = codec.code
    for _ in range(300):
        losses = int(rng.integers(code.tolerance + 1, code.n - code.k + 2))
        lost = rng.permutation(code.n)[:losses].tolist()
        try:
            _check(codec, stripe, lost)
        except Unrecoverable:
            refused += 1
            assert not codec.decodable(lost)
    assert 0 < refused < 300


def test_a_fragment_that_is_wanted_alone_equals_the_one_of_a_full_repair() -> None:
    codec = Codec(Code.parse("LRC(48,4,3)"))
    stripe, rng = _stripe(codec, 3), np.random.default_rng(3)
    for _ in range(200):
        lost = rng.permutation(codec.code.n)[:4].tolist()
        plan = codec.plan(lost, wanted=lost[:1])
        made = codec.rebuild(plan, {index: stripe[index] for index in plan.reads}, NBYTES)
        assert made == {lost[0]: stripe[lost[0]]}
