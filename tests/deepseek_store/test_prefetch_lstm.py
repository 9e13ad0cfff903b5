"""The LSTM: numpy against torch, training, serving, files, and the process that trains."""

import itertools
import os
import random
import subprocess
import sys

import attrs
import numpy as np
import pytest

from deepseek_store.prefetch import trainer as trainer_module
from deepseek_store.prefetch.gradients import Adam, Forward, fresh, gradients
from deepseek_store.prefetch.lstm import LstmSource, Weights, classes_of, vocabulary_of
from deepseek_store.prefetch.trainer import Trainer
from deepseek_store.prefetch.training import Training, main, score, train

QUICK = Training(steps=120)
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def pattern(length, seed=0):
    """Blocks whose distances repeat in a cycle of seven, so that the next is known."""
    deltas = np.resize(np.array([3, 1, 40, -7, 1, 90, 12]), length)
    return np.cumsum(np.concatenate([[10_000 + seed], deltas]))


def train_apart(folder, blocks, training):
    """As a trainer does it: threads of a busy test run would get in each other's way."""
    np.save(folder / "requests.npy", blocks)
    paths = [str(folder / "requests.npy"), str(folder / "out.npz")]
    options = [f"--steps={training.steps}", f"--ahead={training.ahead}", f"--seed={training.seed}"]
    command = [sys.executable, "-m", "deepseek_store.prefetch.training", *paths, *options]
    subprocess.run(command, env=ONE_THREAD, check=True)
    return Weights.load(folder / "out.npz")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return train_apart(tmp_path_factory.mktemp("learned"), pattern(4000), QUICK)


def torch_logits(torch, leaves, seen):
    """Torch's own LSTM with these arrays; it orders gates i, f, g, o, in rows."""

    def rows(matrix):
        i, f, o, g = matrix.T.chunk(4)
        return torch.cat([i, f, g, o])

    bias = rows(leaves["bias_g"][None])[:, 0]
    parts = [rows(leaves["input_eg"]), rows(leaves["hidden_hg"]), bias, torch.zeros_like(bias)]
    start = torch.zeros(1, len(seen), len(leaves["hidden_hg"]))
    inputs = leaves["embedding_ce"][torch.from_numpy(seen)]
    hidden, _, _ = torch.lstm(inputs, (start, start), parts, True, 1, 0.0, True, False, True)
    return hidden @ leaves["output_hc"] + leaves["offset_c"]


def random_case():
    rng = np.random.default_rng(7)
    arrays = fresh(20, 30, rng)
    return arrays, rng.integers(0, 20, (5, 12)), rng.integers(0, 30, (5, 12))


def test_the_forward_pass_equals_that_of_torch():
    torch = pytest.importorskip("torch")
    arrays, seen, _ = random_case()
    leaves = {name: torch.from_numpy(array) for name, array in arrays.items()}
    expected = torch_logits(torch, leaves, seen).numpy()
    hidden = Forward(arrays, seen).hidden[1:].transpose(1, 0, 2)
    np.testing.assert_allclose(
        hidden @ arrays["output_hc"] + arrays["offset_c"], expected, atol=1e-5
    )


def test_the_gradients_equal_those_of_torch():
    torch = pytest.importorskip("torch")
    arrays, seen, wanted = random_case()
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    logits = torch_logits(torch, leaves, seen)[:, 4:]
    labels = torch.from_numpy(np.ascontiguousarray(wanted[:, 4:]))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    expected.backward()
    loss, found = gradients(arrays, seen, wanted, 4)
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    for name, leaf in leaves.items():
        np.testing.assert_allclose(found[name], leaf.grad.numpy(), atol=1e-5, err_msg=name)


def test_serving_step_by_step_equals_the_forward_pass_over_the_whole(learned):
    seen = np.random.default_rng(1).integers(0, len(learned.inputs) + 1, 50)
    arrays = attrs.asdict(learned, recurse=False)
    hidden = Forward(arrays, seen[None]).hidden[1:, 0]
    expected = hidden @ learned.output_hc + learned.offset_c
    source = LstmSource(learned)
    found = np.array([source.step(int(number)).copy() for number in seen])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_step_down_the_gradient_lowers_the_loss():
    arrays, seen, wanted = random_case()
    adam, losses = Adam(arrays, 5e-3, 40), []
    for number in range(40):
        loss, found = gradients(arrays, seen, wanted, 4)
        adam.step(number, found)
        losses.append(loss)
    assert losses[-1] < 0.5 * losses[0]


def test_training_learns_a_cycle_of_distances(learned):
    unseen = pattern(700, seed=99)
    assert score(learned, unseen) > 0.95
    untrained = train(pattern(3000), Training(steps=1))
    assert score(untrained, unseen) < 0.5
    source = LstmSource(learned)
    right = [
        list(source.observe(int(block), 0.0)) == [int(then)]
        for block, then in itertools.pairwise(unseen)
    ]
    assert sum(right) / len(right) > 0.95


def test_training_looks_as_far_ahead_as_it_is_told(tmp_path):
    weights = train_apart(tmp_path, pattern(4000), attrs.evolve(QUICK, ahead=4))
    unseen = pattern(300, seed=5)
    source = LstmSource(weights)
    right = [
        list(source.observe(int(block), 0.0)) == [int(then)]
        for block, then in zip(unseen, unseen[4:], strict=False)
    ]
    assert sum(right) / len(right) > 0.9


def test_training_is_deterministic():
    first, again = (train(pattern(3000), Training(steps=5)) for _ in range(2))
    assert np.array_equal(first.output_hc, again.output_hc)


def test_worse_weights_do_not_replace_better_ones(learned):
    assert train(pattern(3000), Training(steps=1), learned) is None
    worse = train(pattern(3000), Training(steps=1))
    assert score(worse, pattern(3000)) < score(learned, pattern(3000))
    assert train(pattern(3000), Training(steps=40), worse) is not None


def test_too_few_requests_teach_nothing():
    assert train(pattern(500)) is None
    assert train(np.full(9000, 7)) is None
    assert train(np.array([], dtype=np.int64)) is None


def test_without_weights_the_source_is_silent():
    source = LstmSource()
    assert [list(source.observe(n, 0.0)) for n in range(5)] == [[]] * 5


def test_classes_are_the_most_frequent_distances():
    deltas = np.array([5, 5, 5, -2, -2, 9, 1])
    assert vocabulary_of(deltas, 4).tolist() == [5, -2, 1]
    assert classes_of(np.array([9, 5, 1, -2]), np.array([5, -2, 1])).tolist() == [0, 1, 3, 2]


def test_weights_survive_a_file_and_bad_files_are_refused(learned, tmp_path):
    path = tmp_path / "weights.npz"
    learned.save(path)
    again = Weights.load(path)
    assert again.ahead == learned.ahead
    assert np.array_equal(again.hidden_hg, learned.hidden_hg)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ValueError, match="no weights"):
        Weights.load(path)
    np.savez(path, format=1)
    with pytest.raises(ValueError, match="no weights"):
        Weights.load(path)
    path.write_text("nothing of that kind")
    with pytest.raises(ValueError, match="holds no weights"):
        Weights.load(path)
    np.savez(path, format=99)
    with pytest.raises(ValueError, match="format 99"):
        Weights.load(path)


def test_weights_of_a_wrong_shape_or_not_finite_are_refused(learned):
    with pytest.raises(ValueError, match="bias_g has shape"):
        attrs.evolve(learned, bias_g=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="not finite"):
        attrs.evolve(learned, bias_g=np.full_like(learned.bias_g, np.nan))


def test_the_program_trains_from_files(learned, tmp_path):
    np.save(tmp_path / "requests.npy", pattern(3000))
    out = tmp_path / "new.npz"
    assert main([str(tmp_path / "requests.npy"), str(out), "--steps=10", "--ahead=2"]) == 0
    assert Weights.load(out).ahead == 2
    out.unlink()
    learned.save(tmp_path / "old.npz")
    old = f"--old={tmp_path / 'old.npz'}"
    assert main([str(tmp_path / "requests.npy"), str(out), "--steps=1", old]) == 0
    assert not out.exists()


def test_a_trainer_trains_in_a_process_of_its_own(tmp_path):
    kept = tmp_path / "kept.npz"
    history = [int(block) for block in pattern(3000)]
    with Trainer(kept=kept, training=Training(steps=20), first=2500, every=1000) as trainer:
        assert trainer.kept_weights() is None
        assert trainer.poll(history, 2000, 1) is None
        assert trainer.wait() is None
        assert trainer.poll(history, 2500, 1) is None
        weights = trainer.wait()
        assert weights is not None
        assert trainer.poll(history, 2600, 1) is None
        assert trainer.wait() is None  # the next one is due at 3,500
    with Trainer(kept=kept) as again:
        assert np.array_equal(again.kept_weights().hidden_hg, weights.hidden_hg)


def test_a_training_that_fails_changes_nothing(monkeypatch, caplog):
    monkeypatch.setattr(trainer_module.sys, "executable", "/nowhere/python")
    with Trainer(first=2000) as trainer:
        assert trainer.poll([1, 2], 2000, 1) is None
        assert trainer.failures == 1
    assert "nothing changes" in caplog.text


def test_a_training_that_dies_is_counted_and_the_next_one_may_work(caplog):
    with Trainer(first=2000, every=100, training=Training(steps=2)) as trainer:
        trainer.poll([int(block) for block in pattern(2500)], 2000, -1)  # no such distance
        assert trainer.wait() is None
        assert trainer.failures == 1
        trainer.poll([int(block) for block in pattern(2500)], 2100, 1)
        assert trainer.wait() is not None
    assert "status" in caplog.text


def test_weights_that_cannot_be_kept_still_serve(tmp_path, caplog):
    kept = tmp_path / "no such folder" / "kept.npz"
    with Trainer(kept=kept, first=2000, training=Training(steps=2)) as trainer:
        trainer.poll([int(block) for block in pattern(2500)], 2000, 1)
        assert trainer.wait() is not None
        assert trainer.failures == 1


def test_a_trainer_that_is_closed_ends_its_process():
    with Trainer(first=2000, training=Training(steps=10_000)) as trainer:
        trainer.poll([int(block) for block in pattern(2500)], 2000, 1)
        process = trainer._process
        assert process.poll() is None
    assert process.returncode < 0


def test_kept_weights_that_cannot_be_read_are_left_aside(tmp_path, caplog):
    (tmp_path / "kept.npz").write_text("broken")
    with Trainer(kept=tmp_path / "kept.npz") as trainer:
        assert trainer.kept_weights() is None
    assert "left aside" in caplog.text


SERVE = """
import random, sys
from deepseek_store.prefetch.prefetcher import Prefetcher
from deepseek_store.prefetch.trainer import Trainer
from deepseek_store.prefetch.training import Training
rng = random.Random(0)
with Trainer(first=2048, training=Training(steps=3)) as teacher:
    prefetcher = Prefetcher(capacity_blocks=100, teacher=teacher)
    for number in range(2200):
        prefetcher.on_request(rng.randrange(999), False, number * 1e-3)
    prefetcher.adopt(teacher.wait())
    for number in range(300):
        prefetcher.on_request(rng.randrange(999), False, number * 1e-3)
heavy = {"torch", "onnxruntime", "pandas", "sqlalchemy"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


def test_nothing_heavy_is_imported_while_training_and_serving():
    found = subprocess.run(
        [sys.executable, "-c", SERVE], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_the_light_modules_do_not_even_load_numpy():
    code = (
        "import sys; import deepseek_store.prefetch.duel, "
        "deepseek_store.prefetch.order; sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_random_requests_teach_no_sure_answer():
    rng = random.Random(8)
    blocks = np.array([rng.randrange(100_000) for _ in range(2500)])
    weights = train(blocks, Training(steps=15, batch=8))
    source = LstmSource(weights)
    announced = sum(bool(source.observe(rng.randrange(100_000), 0.0)) for _ in range(2000))
    assert announced <= 40
