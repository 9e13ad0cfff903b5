"""Codes by name and number, and what rebuilding them reads."""

from __future__ import annotations

import pytest

from deepseek_core import errors
from deepseek_store.codes import Code, Codec
from deepseek_store.errors import Unrecoverable

NAMES = ["replication(3)", "RS(6,3)", "LRC(12,2,2)", "LRC(48,4,3)", "LRC(140,4,6)", "LRC(216,4,8)"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_and_its_code_are_the_same_thing(name: str) -> None:
    code = Code.parse(name)
    assert code.name == str(code) == name
    assert Code.parse(f"  {name.lower().replace(',', ' , ')} ") == code


def test_the_numbers_of_the_wide_codes_are_those_of_the_design() -> None:
    found = {
        name: (code.n, round(code.efficiency, 3), code.tolerance, code.repair_reads)
        for name in ("RS(6,3)", "LRC(48,4,3)", "LRC(126,3,6)", "LRC(140,4,6)", "LRC(216,4,8)")
        for code in [Code.parse(name)]
    }
    assert found == {
        "RS(6,3)": (9, 0.667, 3, 6),
        "LRC(48,4,3)": (55, 0.873, 4, 12),
        "LRC(126,3,6)": (135, 0.933, 7, 42),
        "LRC(140,4,6)": (150, 0.933, 7, 35),
        "LRC(216,4,8)": (228, 0.947, 9, 54),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lrc",
        "rs(6)",
        "rs(0,3)",
        "rs(6,0)",
        "rs(254,3)",
        "lrc(4,5,2)",
        "lrc(4,0,2)",
        "lrc(250,5,7)",
        "lrc(12,2,0)",
        "replication(0)",
        "replication(17)",
        "raid(6,2)",
        "rs(6,3)x",
    ],
)
def test_a_text_that_is_no_code_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        Code.parse(text)
    assert caught.value.remedy


def test_the_widest_codes_that_the_field_carries_are_taken() -> None:
    assert Code.parse("rs(250,6)").n == 256
    assert Code.parse("lrc(248,8,8)").n == 264


@pytest.mark.parametrize("name", ["LRC(12,2,2)", "LRC(10,3,2)", "LRC(7,7,1)", "LRC(216,4,8)"])
def test_every_data_fragment_is_in_exactly_one_group(name: str) -> None:
    code = Code.parse(name)
    groups = [code.group_data(group) for group in range(code.groups)]
    assert sorted(index for group in groups for index in group) == list(range(code.k))
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    for index in range(code.n):
        members = code.members(index)
        if index >= code.k + code.groups:
            assert members == () and code.group_of(index) is None
        else:
            assert index in members and members[-1] == code.k + (code.group_of(index) or 0)


@pytest.mark.parametrize("name", ["LRC(12,2,2)", "LRC(10,3,2)", "LRC(140,4,6)"])
def test_a_single_loss_reads_exactly_its_group(name: str) -> None:
    codec = Codec(Code.parse(name))
    for index in range(codec.code.k + codec.code.groups):
        plan = codec.plan([index])
        assert plan.is_local
        assert plan.reads == tuple(i for i in codec.code.members(index) if i != index)


def test_one_loss_in_each_group_reads_only_the_groups() -> None:
    codec = Codec(Code.parse("LRC(12,2,2)"))
    plan = codec.plan([0, 6])
    assert plan.is_local and set(plan.reads) == set(range(14)) - {0, 6}


def test_a_wanted_fragment_of_a_whole_group_does_not_read_another_groups_losses() -> None:
    codec = Codec(Code.parse("LRC(12,2,2)"))
    assert codec.plan([0, 6, 7, 8], wanted=[0]).reads == (1, 2, 3, 4, 5, 12)


def test_a_group_repair_works_where_the_stripe_as_a_whole_is_lost() -> None:
    codec = Codec(Code.parse("LRC(12,2,2)"))
    lost = [0, 6, 7, 8, 9, 10]
    assert not codec.decodable(lost)
    assert codec.plan(lost, wanted=[0]).is_local
    with pytest.raises(Unrecoverable):
        codec.plan(lost, wanted=[0, 6])


@pytest.mark.parametrize("name", ["RS(6,3)", "RS(14,4)", "LRC(12,2,2)", "LRC(140,4,6)"])
def test_a_decode_reads_k_fragments_and_no_more(name: str) -> None:
    codec = Codec(Code.parse(name))
    assert len(codec.plan([0, 1]).reads) == codec.code.k
    assert len(codec.plan([0, 1], wanted=[1]).reads) == codec.code.k
    assert len(codec.plan([codec.code.n - 1]).reads) == codec.code.k


def test_a_copy_is_rebuilt_from_one_other() -> None:
    codec = Codec(Code.parse("replication(3)"))
    assert codec.plan([0, 1]).reads == (2,)
    assert codec.plan([2]).reads == (0,)
    with pytest.raises(Unrecoverable):
        codec.plan([0, 1, 2])


def test_a_fragment_that_is_there_is_read_as_it_is() -> None:
    codec = Codec(Code.parse("RS(6,3)"))
    assert codec.plan([], wanted=[4]).reads == (4,)
    assert codec.plan([0], wanted=[4]).reads == (4,)
    assert codec.plan([]).reads == ()
    assert codec.rebuild(codec.plan([]), {}, 8) == {}


def test_virtual_fragments_are_never_read() -> None:
    codec = Codec(Code.parse("LRC(12,2,2)"))
    data = [bytes([i]) * 40 for i in range(1, 4)]
    made = codec.encode(data, 40)
    virtual = range(3, 12)
    plan = codec.plan([0], virtual=virtual)
    assert plan.reads == (1, 2, 12)
    fragments = {1: data[1], 2: data[2], 12: made[0]}
    assert codec.rebuild(plan, fragments, 40) == {0: data[0]}
    assert codec.plan([13], virtual=virtual).reads == ()
    assert codec.rebuild(codec.plan([13], virtual=virtual), {}, 40) == {13: bytes(40)}
    assert len(codec.plan([0, 1], virtual=virtual).reads) == 3


def test_what_is_lost_beyond_repair_is_listed_in_the_error() -> None:
    codec = Codec(Code.parse("RS(6,3)"))
    with pytest.raises(Unrecoverable) as caught:
        codec.plan([7, 1, 2, 0])
    assert caught.value.lost == (0, 1, 2, 7)
    assert caught.value.remedy and "RS(6,3)" in str(caught.value)


def test_an_index_outside_the_stripe_is_refused() -> None:
    codec = Codec(Code.parse("RS(6,3)"))
    for wrong in ([9], [-1]):
        with pytest.raises(ValueError, match="no fragment"):
            codec.plan(wrong)
    with pytest.raises(ValueError, match="are data fragments"):
        codec.plan([0], virtual=[6])  # a parity is never nothing but zeros by itself


def test_wrong_input_is_refused_before_anything_is_coded() -> None:
    codec = Codec(Code.parse("RS(6,3)"))
    with pytest.raises(errors.InputError, match="6 data fragments at most"):
        codec.encode([b""] * 7, 0)
    with pytest.raises(errors.InputError, match="9 bytes where 8"):
        codec.encode([bytes(9)], 8)
    plan = codec.plan([0])
    with pytest.raises(errors.InputError, match="not given"):
        codec.rebuild(plan, {1: b"x"}, 1)
