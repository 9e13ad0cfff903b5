"""Checkpoints of several ranks: what was saved is what is loaded, on any number of ranks."""

import io

import checkpoint_ranks as work
import pytest
import rank_processes as group
import torch

from deepseek_parallel import resharded


@pytest.fixture(scope="module", autouse=True)
def _warm():
    work.warm()


@pytest.mark.parametrize(
    ("save", "load", "ranks"),
    [(work.replicas, work.replicas_loaded, 2), (work.shards, work.shards_loaded, 3)],
)
def test_saved_on_some_ranks_it_loads_on_one_to_eight(save, load, ranks, tmp_path):
    url = str(tmp_path / "run")
    (saved,) = set(group.run(save, ranks, url))
    for others in range(1, 9):
        found = group.run(load, others, url)
        if load is work.replicas_loaded:
            assert all(extra == {"position": 24} for _, extra in found)
            found = [loaded for loaded, _ in found]
        assert set(found) == {saved}, others


def test_what_each_rank_kept_back_goes_on_there_and_is_shared_by_other_numbers(tmp_path):
    url = str(tmp_path / "run")
    saved = [torch.load(io.BytesIO(data)) for data in group.run(work.compressed, 3, url)]
    for ranks in (3, 2, 1):
        states = [state for _, state in saved]
        wanted = states if ranks == 3 else resharded(states, ranks)
        for rank, data in enumerate(group.run(work.compressed_loaded, ranks, url)):
            model, state = torch.load(io.BytesIO(data))
            assert work.digest(model) == work.digest(saved[0][0])
            assert work.digest(state) == work.digest(wanted[rank])
            assert state["compression"]["ranks"] == ranks
            assert torch.equal(state["state"][0]["residual"], wanted[rank]["state"][0]["residual"])


@pytest.mark.parametrize("lost", [0, 2])
def test_a_lost_rank_s_own_state_comes_back_from_its_neighbor_s_memory(lost):
    found = group.run(work.recovered, 3, lost)
    opened = [[torch.load(io.BytesIO(one)) for one in each] for each in found]
    states = [before[1] for before, _, _ in opened]
    for rank, (before, joined, _) in enumerate(opened):
        assert work.digest(*joined) == work.digest(*before), rank
    wanted = resharded(states, 2)
    for rank, (model, state) in enumerate(left for *_, left in opened if left):
        assert work.digest(model) == work.digest(opened[0][0][0])
        assert work.digest(state) == work.digest(wanted[rank])
