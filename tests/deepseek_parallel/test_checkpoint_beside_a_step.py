"""A copy that is made beside the next step: the step waits for it, and what can't wait does not."""

import threading

import pytest
import torch
from torch import nn

from deepseek_parallel import Checkpoints
from deepseek_parallel.checkpoint import staging
from deepseek_parallel.errors import SaveFailed

LIMIT_S = 60


class Training:
    def __init__(self):
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.optimizer = torch.optim.AdamW(self.net.parameters())
        self.forward()
        self.optimizer.step()

    def forward(self):
        self.net(torch.randn(8, 4)).square().sum().backward()

    def states(self):
        return self.net.state_dict(), self.optimizer.state_dict()

    def flat(self):
        model, optimizer = self.states()
        inner = [one for state in optimizer["state"].values() for one in state.values()]
        return torch.cat([one.double().reshape(-1) for one in [*model.values(), *inner]])


@pytest.fixture
def gate(monkeypatch):
    """Copies wait until it is open."""
    opened, copy = threading.Event(), staging.Rest.copy

    def late(rest):
        assert opened.wait(LIMIT_S)
        copy(rest)

    monkeypatch.setattr(staging.Rest, "copy", late)
    yield opened
    opened.set()


@pytest.fixture
def checkpoints(tmp_path):
    with Checkpoints(str(tmp_path / "run")) as made:
        yield made


def begin(checkpoints, training, step=1):
    return checkpoints.save(step, *training.states(), until_step_of=training.optimizer)


def loaded(checkpoints):
    new = Training()
    model, optimizer = new.states()
    checkpoints.load(model, optimizer)
    new.net.load_state_dict(model)
    new.optimizer.load_state_dict(optimizer)
    return new.flat()


def test_a_step_waits_for_the_copy_and_the_forward_does_not(checkpoints, gate):
    training = Training()
    before = training.flat()
    saving = begin(checkpoints, training)
    training.forward()  # its batch norm changes two buffers
    stepped = threading.Thread(target=training.optimizer.step)
    stepped.start()
    stepped.join(0.2)
    assert stepped.is_alive()
    gate.set()
    stepped.join(LIMIT_S)
    saving.wait(LIMIT_S)
    assert torch.equal(loaded(checkpoints), before)
    assert not torch.equal(training.flat(), before)


def test_without_an_optimizer_all_is_copied_at_once(checkpoints, gate):
    training = Training()
    before = training.flat()
    saving = checkpoints.save(1, *training.states())
    training.forward()
    training.optimizer.step()
    gate.set()
    saving.wait(LIMIT_S)
    assert torch.equal(loaded(checkpoints), before)


@pytest.mark.parametrize("of", ["model", "optimizer"])
def test_a_tensor_that_something_else_changes_fails_the_save_by_its_name(checkpoints, gate, of):
    training = Training()
    saving = begin(checkpoints, training)
    changed = training.net[0].weight
    if of == "optimizer":
        changed = training.optimizer.state[changed]["exp_avg"]
    with torch.no_grad():
        changed.add_(1)
    gate.set()
    name = {"model": "0.weight", "optimizer": "state.0.exp_avg"}[of]
    with pytest.raises(SaveFailed, match=f"^{name} was changed while it was copied"):
        saving.wait(LIMIT_S)
    assert checkpoints.latest() is None
    begin(checkpoints, training, 2).wait(LIMIT_S)


def test_what_another_optimizer_changes_is_copied_at_once(checkpoints, gate):
    training = Training()
    other = torch.optim.SGD([training.net[1].weight], lr=1.0)
    training.optimizer = torch.optim.SGD(training.net[0].parameters(), lr=0.1)
    before = training.net[1].weight.detach().clone()
    saving = begin(checkpoints, training)
    training.forward()
    other.step()
    gate.set()
    saving.wait(LIMIT_S)
    state = Training().net.state_dict()
    checkpoints.load(state)
    assert torch.equal(state["1.weight"], before)


def test_what_changes_the_state_otherwise_can_wait_for_the_copy(checkpoints, gate):
    training = Training()
    before = training.flat()
    saving = begin(checkpoints, training)
    threading.Timer(0.2, gate.set).start()
    checkpoints.wait_for_copy()
    for one in training.net.parameters():
        one.data.zero_()  # torch does not count this
    saving.wait(LIMIT_S)
    assert torch.equal(loaded(checkpoints), before)


def test_saves_leave_no_hooks_behind(tmp_path):
    training = Training()
    with Checkpoints(str(tmp_path / "run")) as checkpoints:
        for step in (1, 2, 3):
            begin(checkpoints, training, step).wait(LIMIT_S)
            assert len(training.optimizer._optimizer_step_pre_hooks) == 1
    assert not training.optimizer._optimizer_step_pre_hooks
