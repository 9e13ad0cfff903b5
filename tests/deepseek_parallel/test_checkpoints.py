"""Checkpoints of several ranks: what was saved is what is loaded, on any number of ranks."""

import io

import checkpoint_ranks as work
import pytest
import rank_processes as group
import torch

from deepseek_parallel import Checkpoints, resharded
from deepseek_parallel.checkpoint.listing import listing
from deepseek_parallel.checkpoint.place import Place


@pytest.fixture(scope="module", autouse=True)
def _warm():
    work.warm()


@pytest.mark.parametrize(
    ("save", "load", "ranks", "loading"),
    [
        (work.replicas, work.replicas_loaded, 2, [1, 3]),
        (work.shards, work.shards_loaded, 3, range(1, 9)),
    ],
)
def test_saved_on_some_ranks_it_loads_on_one_to_eight(save, load, ranks, loading, tmp_path):
    url = str(tmp_path / "run")
    (saved,) = set(group.run(save, ranks, url))
    for others in loading:
        found = group.run(load, others, url)
        if load is work.replicas_loaded:
            assert all(extra == {"position": 24} for _, extra in found)
            found = [loaded for loaded, _ in found]
        assert set(found) == {saved}, others


def test_a_store_holds_checkpoints_of_several_ranks(tmp_path, monkeypatch):
    store = pytest.importorskip("deepseek_store")
    store.Store.init(tmp_path / "store").close()
    monkeypatch.setenv("DEEPSEEK_STORE_HOME", str(tmp_path / "store"))
    for _ in range(4):  # the first one goes
        (saved,) = set(group.run(work.replicas, 2, "ds://runs/first"))
    url = f"ds://{tmp_path}/store!/runs/first"
    assert group.run(kept, 1, url) == [3]
    loaded = [digest for digest, _ in group.run(work.replicas_loaded, 3, url)]
    assert set(loaded) == {saved}


def kept(rank, ranks, url):
    """How many there are; in a process of its own, so that the store is closed with it."""
    return len(listing(Place(url)).committed)


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


def test_stages_of_a_pipeline_save_their_own_layers_and_load_as_one(tmp_path):
    url = str(tmp_path / "run")
    found = group.run(work.stages, 2, url)
    assert all(is_equal for is_equal, _ in found)
    saved = [torch.load(io.BytesIO(data)) for _, data in found]
    model, state = work.stage([0, 1])
    Checkpoints(url).load(model, state)
    assert work.digest(model) == work.digest({**saved[0][0], **saved[1][0]})
    states = {**saved[0][1]["state"], **saved[1][1]["state"]}
    assert work.digest(state["state"]) == work.digest(states)


def test_tensors_of_every_kind_come_back_to_the_bit_from_a_mesh(tmp_path):
    url = str(tmp_path / "run")
    (nbytes,) = set(group.run(work.on_a_mesh, 4, url))
    assert nbytes < 60_000, "no tensor is written by two ranks"
    wanted, found = work.kinds(), work.kinds()
    for tensor in found.values():
        tensor.copy_(torch.zeros(()))
    Checkpoints(url).load(found)
    for name, tensor in wanted.items():
        same = found[name].contiguous().view(torch.uint8) if tensor.dim() else found[name]
        assert torch.equal(same, tensor.contiguous().view(same.dtype)), name


def test_damage_that_one_rank_finds_is_raised_by_all(tmp_path):
    url = str(tmp_path / "run")
    group.run(work.shards, 2, url)
    (path,) = (tmp_path / "run").glob("*/optimizer/__1_0.distcp")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    for kind, text in group.run(work.damaged_for_one, 2, url):
        assert kind == "CheckpointDamaged"
        assert "optimizer/__1_0.distcp has other bytes" in text
