"""torch.distributed.checkpoint: a model and its optimizer, saved twice and resumed."""

import warnings

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader, FsspecWriter
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

warnings.simplefilter("ignore")
torch.manual_seed(1)


def trained(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Some steps on inputs that are the same each time."""
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.ones(3, 8) * step).square().sum().backward()
        optimizer.step()


def fresh() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """An untrained model, and its optimizer."""
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    return model, torch.optim.AdamW(model.parameters(), 1e-2)


model, optimizer = fresh()
for turn in range(2):  # the second one replaces the first
    trained(model, optimizer, 3)
    weights, state = get_state_dict(model, optimizer)
    content = {"model": weights, "optimizer": state, "turn": turn}
    dcp.save(content, storage_writer=FsspecWriter("ds://checkpoints/last", thread_count=2))
dcp.save({"model": weights}, checkpoint_id="ds://checkpoints/plain")
other, other_optimizer = fresh()
weights, state = get_state_dict(other, other_optimizer)
loaded = {"model": weights, "optimizer": state, "turn": 0}
dcp.load(loaded, storage_reader=FsspecReader("ds://checkpoints/last"))
set_state_dict(other, other_optimizer, model_state_dict=weights, optim_state_dict=state)
assert loaded["turn"] == 1
for each in (trained(model, optimizer, 2), trained(other, other_optimizer, 2)):
    assert each is None
for one, two in zip(model.parameters(), other.parameters(), strict=True):
    assert torch.equal(one, two)
print("right")
