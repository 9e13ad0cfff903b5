"""No device can lie, hang or die at the caller's cost; the long version is benchmarks/chaos.py."""

import logging
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "deepseek_core"))

import chaos_devices
import chaos_rounds


@pytest.fixture(autouse=True)
def release():
    logging.disable(logging.CRITICAL)
    yield
    chaos_devices.GO.set()
    chaos_devices.Now.kind = None
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("kind", chaos_devices.KINDS)
def test_answers_are_right_and_ends_are_ends(kind, tmp_path):
    for turn in range(5):  # where the good device was quick enough to have done it all, once more
        folder = tmp_path / f"{turn}"
        folder.mkdir()
        outcome = chaos_rounds.play(folder, kind, requests=32, batches=10)
        assert outcome.faults() == []
        if outcome.bad_calls:
            break
    assert outcome.bad_calls
    assert outcome.counts["right"] + outcome.counts["refused"] == 32 + 10 + 1
    if chaos_devices.KINDS[kind].legal:
        assert not any("quarantined" in notice for notice in outcome.notices)


def test_the_rounds_see_a_wrong_answer(tmp_path, monkeypatch):
    """Else none of the above would say anything."""
    wrong = chaos_devices.Kind(at="after", do=chaos_devices.each(lambda v: v + 1.0))
    monkeypatch.setitem(chaos_devices.KINDS, "plausible", wrong)
    outcome = chaos_rounds.play(tmp_path, "plausible", requests=32, batches=10)
    assert outcome.counts["wrong"]
