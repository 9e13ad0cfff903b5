"""Ctrl-C around libraries and locks that take it badly."""

import signal
import threading

import pytest

from deepseek_core.runtime.interrupts import held_back, stop_if_interrupted


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_a_held_back_ctrl_c_comes_when_the_block_has_ended():
    done = []
    with pytest.raises(KeyboardInterrupt), held_back() as came:
        assert not came
        ctrl_c()
        done.append(len(came))
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_comes_in_place_of_the_blocks_own_error():
    with pytest.raises(KeyboardInterrupt) as caught, held_back():
        ctrl_c()
        raise ImportError("initialization failed")
    assert isinstance(caught.value.__context__, ImportError)


def test_a_second_ctrl_c_does_not_wait():
    steps = []
    with pytest.raises(KeyboardInterrupt), held_back():
        ctrl_c()
        steps.append("held back")
        ctrl_c()
        steps.append("never")
    assert steps == ["held back"]


def test_blocks_may_be_nested():
    steps = []
    with pytest.raises(KeyboardInterrupt), held_back():
        with held_back():
            ctrl_c()
        steps.append("between the ends")
    assert steps == ["between the ends"]


def test_a_block_without_ctrl_c_changes_nothing():
    before = signal.getsignal(signal.SIGINT)
    with held_back() as came:
        assert signal.getsignal(signal.SIGINT) is not before
    assert not came
    assert signal.getsignal(signal.SIGINT) is before


def test_a_program_that_ignores_ctrl_c_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_back() as came:
            ctrl_c()
        assert not came
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_pass_through():
    seen = []

    def work():
        with held_back() as came:
            seen.append(came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [()]


def error_from(*chain):
    """The last error of a chain, each raised from the one before."""
    error = None
    for link in chain:
        link.__cause__ = error
        error = link
    return error


def test_a_ctrl_c_turned_into_an_error_stops_the_caller():
    error = error_from(KeyboardInterrupt(), ImportError("initialization failed"), OSError("x"))
    with pytest.raises(KeyboardInterrupt) as caught:
        stop_if_interrupted(error)
    assert caught.value.__cause__ is error


def test_other_errors_are_let_be():
    stop_if_interrupted(error_from(ImportError("no such library"), OSError("x")))
