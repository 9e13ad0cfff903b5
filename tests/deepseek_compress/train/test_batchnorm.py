"""Statistics of batch normalizations are those of the data; nothing else changes."""

import pytest
import torch
from torch import nn
from train_kit import data, net, reached, run, trained

from deepseek_compress.train.batchnorm import recover_bn
from deepseek_compress.train.options import RecoverOptions
from deepseek_compress.train.weights import snapshot, weight_hash
from deepseek_core import errors


def test_statistics_are_means_over_the_batches():
    norm = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 4))
    samples = data(256)
    found, count = recover_bn(norm, samples, RecoverOptions(batches=4, batch_size=64), run())
    (whole,) = samples.batches(256)
    x = torch.from_numpy(whole.inputs["x"])
    assert count == 1
    torch.testing.assert_close(found[0].running_mean, x.mean().reshape(1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[0].running_var, x.var().reshape(1), rtol=0.02, atol=0)


def test_wrong_statistics_are_recovered_and_weights_stay():
    model = trained().model
    before = reached(model)
    with torch.no_grad():
        model[1].running_mean.add_(3.0)
        model[4].running_var.mul_(50.0)
    broken, digest = reached(model), weight_hash(model)
    found, count = recover_bn(model, data(), RecoverOptions(batch_size=64), run())
    assert count == 2
    assert reached(found) > before - 0.05 > broken
    assert weight_hash(model) == digest
    kept, changed = snapshot(model), snapshot(found)
    for name, tensor in kept.items():
        moved = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert moved or torch.equal(tensor, changed[name])
    assert not found.training
    assert found[1].momentum == model[1].momentum


def test_it_repeats_and_dropout_does_not_disturb_it():
    model = nn.Sequential(nn.Dropout(0.5), net())
    hashes = {
        weight_hash(recover_bn(model, data(), RecoverOptions(batch_size=64), run())[0])
        for _ in range(2)
    }
    plain = recover_bn(net(), data(), RecoverOptions(batch_size=64), run())[0]
    found = recover_bn(model, data(), RecoverOptions(batch_size=64), run())[0]
    assert len(hashes) == 1
    assert torch.equal(found[1][1].running_var, plain[1].running_var)


def test_models_without_any():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    found, count = recover_bn(model, data(8), RecoverOptions(), run())
    assert count == 0
    assert weight_hash(found) == weight_hash(model)
    untracked = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), model)
    assert recover_bn(untracked, data(8), RecoverOptions(), run())[1] == 0


def test_weights_that_are_no_numbers():
    model = net()
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(errors.InputError, match="statistics of 1 came out NaN"):
        recover_bn(model, data(), RecoverOptions(), run())


def test_progress_and_small_data():
    told = []
    surroundings = run(progress=lambda *words: told.append(words))
    recover_bn(net(), data(5), RecoverOptions(batches=3, batch_size=64), surroundings)
    assert told == [(1, 1, "batch 1/1")]
