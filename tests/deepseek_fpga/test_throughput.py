"""The model: its arithmetic, its limits, and that no figure comes without word and clock."""

import inspect
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_fpga.proof import throughput
from deepseek_fpga.proof.board import Board, parse_board
from deepseek_fpga.proof.throughput import check_throughput, limits_hz, seconds

BOARDS = st.builds(
    Board,
    pes=st.integers(1, 4096),
    clock_mhz=st.floats(1, 1500),
    ii=st.floats(1, 64),
    banks=st.integers(1, 64),
    bank_gb_s=st.floats(0.1, 2000),
    pcie_gb_s=st.floats(0.1, 1000),
)


@given(board=BOARDS)
def test_every_figure_says_model_and_the_assumed_clock(board):
    result = check_throughput("hamming", board)
    assert result.rung.label == "model"
    for figure in result.figures:
        for text in (figure.text, figure.to_json()["basis"]):
            assert "model" in text
            assert f"clock of {board.clock_mhz:g} MHz assumed" in text
    if result.why:
        assert "model" in result.why


def test_there_is_one_way_to_a_figure_of_the_model():
    source = inspect.getsource(throughput)
    assert source.count("Figure(") == 1


@given(board=BOARDS)
def test_no_part_lets_more_through_than_its_limit(board):
    resident, streamed = (min(limits_hz(board, resident=r).values()) for r in (True, False))
    assert streamed <= resident <= board.clock_hz / board.ii
    assert resident * 32 <= board.banks * board.bank_gb_s * 1e9 * (1 + 1e-9)
    assert streamed * 32 <= board.pcie_gb_s * 1e9 * (1 + 1e-9)


def test_the_example_of_the_research():
    """48 elements at 300 MHz: 14.4 Gpair/s, which read 9.6 GB/s."""
    values = [figure.value for figure in check_throughput("hamming", Board()).figures]
    assert values == pytest.approx([14.4, 14.4, 9.6])


def test_a_bank_that_is_too_slow_fails_the_rung():
    result = check_throughput("hamming", Board(bank_gb_s=4.8))
    assert result.state == "fails"
    assert "feed 50% of what the array takes" in result.why
    assert result.figures[0].value == pytest.approx(7.2)


def test_a_batch_takes_one_pass_for_each_set_of_queries():
    board = Board(launch_us=0)
    one = seconds(board, queries=48, rows=300_000, k=2, resident=True)
    two = seconds(board, queries=49, rows=300_000, k=2, resident=True)
    assert one == pytest.approx(1e-3, rel=0.01)
    assert two == pytest.approx(2e-3, rel=0.01)
    moved = seconds(board, queries=48, rows=300_000, k=2, resident=False)
    assert moved - one == pytest.approx(300_000 * 32 / 12e9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pes=0", "1 to 4096"),
        ("pes=-1", "1 to 4096"),
        ("pes=1e9", "1 to 4096"),
        ("pes=1.5", "whole number"),
        ("pes=nan", "plain number"),
        ("clock_mhz=inf", "plain number"),
        ("clock_mhz=0", "1 to 1500"),
        ("bank_gb_s=1e300", "0.1 to 2000"),
        ("launch_us=-1", "0 to 1e"),
        ("pes=48,pes=49", "leave one"),
        ("cores=4", "the names: "),
        ("pes", "write pes=48"),
        ("pes=48;rm -r /", "write pes=48"),
    ],
)
def test_a_board_that_cannot_be_is_named_with_the_remedy(text, words):
    with pytest.raises(errors.ConfigError, match="a board's") as caught:
        parse_board(text)
    assert words in caught.value.remedy


def test_what_is_left_out_has_its_default():
    assert parse_board("") == Board()
    assert parse_board(" pes = 64 , clock_mhz=250.5,") == Board(pes=64, clock_mhz=250.5)


@given(text=st.text(max_size=40))
def test_any_text_is_a_board_or_a_named_error(text):
    try:
        board = parse_board(text)
    except errors.ConfigError:
        return
    assert math.isfinite(seconds(board, queries=1, rows=1, k=1, resident=True))
