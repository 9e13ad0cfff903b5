"""The Fashion-MNIST example: its data as labeled, its trained network, its training script."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from process import forget_modules, one_thread

torch = pytest.importorskip("torch")

EXAMPLE = Path(__file__).parents[2] / "examples" / "compression"


@pytest.fixture(autouse=True)
def example(monkeypatch):
    """Its modules by their own names, without all pictures, on one thread."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.delenv("DEEPSEEK_DATA", raising=False)
    with one_thread():
        yield
    forget_modules(EXAMPLE)


def test_the_subset_is_what_its_page_says():
    import fashion

    for part, count in (("train", 3000), ("test", 800)):
        x, y = getattr(fashion, part)()
        assert (x.shape, x.dtype, y.dtype) == ((count, 1, 28, 28), np.float32, np.int64)
        assert np.bincount(y).tolist() == [count // 10] * 10
        assert abs(x.mean()) < 0.1
        assert abs(x.std() - 1) < 0.1
    assert len(fashion.CLASSES) == 10
    assert fashion.SUBSET.stat().st_size < 1.5e6
    assert "MIT" in (EXAMPLE / "data" / "README.md").read_text()


def test_all_pictures_are_read_from_a_folder(monkeypatch, tmp_path):
    import fashion

    x = np.zeros((3, 28, 28), np.uint8)
    for name in ("train_a", "train_b", "test"):
        np.savez(tmp_path / f"fashion_mnist_{name}.npz", x=x, y=np.arange(3, dtype=np.uint8))
    monkeypatch.setenv("DEEPSEEK_DATA", str(tmp_path))
    assert len(fashion.train()[0]) == 6
    assert len(fashion.test()[0]) == 3
    with pytest.raises(FileNotFoundError):
        fashion.read("train", tmp_path / "none")


def test_mirrored_pictures_depend_on_the_seed_alone():
    import fashion

    from deepseek_core import compression

    samples = fashion.augmented()
    assert isinstance(samples, compression.Samples)
    plain = next(samples.batches(64))
    np.testing.assert_array_equal(plain.inputs["x"], fashion.train()[0][:64])
    one, other = (next(samples.batches(512, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(one.inputs["x"], other.inputs["x"])
    x = fashion.train()[0]
    rows = [np.flatnonzero((x == picture).all((1, 2, 3))).size for picture in one.inputs["x"]]
    assert 180 < np.count_nonzero(rows) < 330  # about half are as they were


def test_the_trained_network_is_as_good_as_its_page_says():
    import fashion

    from deepseek_compress.samples.accept import as_samples
    from deepseek_compress.samples.names import Expected
    from deepseek_compress.train.evaluate import accuracy
    from deepseek_compress.train.predictor import torch_predictor

    model = fashion.trained(str(EXAMPLE / "data" / "teacher.npz"))
    found = accuracy(torch_predictor(model), as_samples(fashion.test(), Expected())).score
    page = (EXAMPLE / "data" / "README.md").read_text()
    told = float(re.search(r"([\d.]+) % of the\s+800", page)[1])
    assert 100 * found.value == pytest.approx(told, abs=0.3)  # kernels of other CPUs round anew


def test_the_script_trains_and_its_weights_are_read(monkeypatch, tmp_path, capsys):
    import fashion
    import train_teacher

    weights = tmp_path / "teacher.npz"
    words = ["train_teacher.py", "--epochs", "1", "--weights", str(weights)]
    monkeypatch.setattr(sys, "argv", words)
    train_teacher.main()
    told = float(re.search(r"accuracy ([\d.]+)%", capsys.readouterr().out)[1])
    assert told > 30
    fresh = fashion.trained().state_dict()
    learned = fashion.trained(str(weights)).state_dict()
    assert not torch.equal(fresh["head.weight"], learned["head.weight"])
