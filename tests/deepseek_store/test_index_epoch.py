"""The epoch of an index lasts, counts, and is seen by other processes at once."""

from pathlib import Path

import pytest
from index_places import in_processes

from deepseek_core import errors
from deepseek_store.index.epoch import Epoch


def test_a_new_epoch_is_zero_and_lasts(tmp_path: Path) -> None:
    with Epoch(tmp_path / "epoch") as epoch:
        assert epoch.value == 0
        epoch.bump((1 << 63) - 1)
    with Epoch(tmp_path / "epoch") as epoch:
        assert epoch.value == (1 << 63) - 1


def _bump(path: Path, seq: int) -> None:
    with Epoch(path) as epoch:
        epoch.bump(seq)


def test_another_process_sees_it_at_once_also_a_lower_number(tmp_path: Path) -> None:
    with Epoch(tmp_path / "epoch") as epoch:
        for seq in (10, 9):
            in_processes(_bump, [(tmp_path / "epoch", seq)])
            assert epoch.value == seq


def test_a_file_that_was_cut_off_is_made_whole_again(tmp_path: Path) -> None:
    path = tmp_path / "epoch"
    path.write_bytes(b"abc")
    with Epoch(path) as epoch:
        epoch.bump(5)
        assert epoch.value == 5
    assert path.stat().st_size == 8


def test_closing_twice_is_no_error_and_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    epoch = Epoch(tmp_path / "epoch")
    epoch.close()
    epoch.close()
    with pytest.raises(errors.TierUnavailable, match="may be written to"):
        Epoch(tmp_path / "none" / "epoch")
