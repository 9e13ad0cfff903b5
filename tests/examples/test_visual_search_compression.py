"""The visual search's network in a recipe: the demo's weights, its data, its search."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from process import forget_modules, one_thread

torch = pytest.importorskip("torch")

from deepseek_core import Session, compression  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPE = EXAMPLES / "compression" / "visual_search.toml"
FEW = """
import sys
sys.path[:0] = [{folder!r}]
from visual_search import *
import visual_search as whole

def few(crops, every):
    return whole.Pictures(crops.take(np.arange(0, len(crops), every)))

def train():
    return few(whole.known().crops, 80)

def queries():
    return few(whole.queries().crops, 90)

known = train
"""


@pytest.fixture(autouse=True)
def example(monkeypatch, tmp_path):
    """The example's modules by their own names, on one thread."""
    monkeypatch.setattr(sys, "path", [str(EXAMPLES / "compression"), *sys.path])
    with one_thread():
        yield
    for name in ("compression", "visual_search"):  # not the plugins beside them
        forget_modules(EXAMPLES / name)
    forget_modules(tmp_path)


@pytest.fixture
def images():
    import visual_search

    return visual_search.queries().crops.images[::90]


def embedded(model, images):
    with torch.no_grad():
        return model.eval()(torch.from_numpy(images.astype(np.float32))).numpy()


def network_of(file, folder):
    """A file's network without its matching."""
    import onnxruntime as ort

    part = folder / "network.onnx"
    onnx.utils.extract_model(str(file), str(part), ["images"], ["embedding"])
    return ort.InferenceSession(part, providers=["CPUExecutionProvider"])


def test_the_network_computes_what_the_demos_file_does(images, tmp_path):
    import visual_search

    session = network_of(visual_search.WEIGHTS, tmp_path)
    wanted = session.run(None, {"images": images})[0]
    found = embedded(visual_search.original(), images)
    assert found.shape == (len(images), 1280)
    assert np.abs(found - wanted).max() < 1e-5
    assert sum(p.numel() for p in visual_search.original().parameters()) == 3_349_424


def test_normalizations_change_nothing_until_they_are_trained(images):
    import visual_search

    model = visual_search.scaled_student()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 49
    assert np.abs(embedded(model, images) - embedded(visual_search.original(), images)).max() < 1e-5
    trained = model.train()(torch.from_numpy(images.astype(np.float32)))
    assert not np.allclose(trained.detach(), embedded(model, images), atol=1e-3)


def test_the_student_sees_pictures_as_they_come(images):
    import visual_search

    found = embedded(visual_search.student(), images)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert not np.allclose(found, embedded(visual_search.original(), images), atol=1e-2)


def test_no_board_is_in_two_parts():
    import visual_search as v

    parts = {name: getattr(v, name)() for name in ("train", "held_out", "queries", "known")}
    assert (len(parts["known"]), len(parts["queries"])) == (11_569, 2_877)
    assert len(parts["train"]) + len(parts["held_out"]) == 11_569
    boards = {name: set(part.labels[:, 1].tolist()) for name, part in parts.items()}
    assert boards["known"] == boards["train"] | boards["held_out"]
    for one, other in (("train", "held_out"), ("train", "queries"), ("held_out", "queries")):
        assert not boards[one] & boards[other]
    assert all(isinstance(part, compression.Samples) for part in parts.values())


def test_training_pictures_are_turned_by_the_seed_alone():
    import visual_search

    samples = visual_search.train()
    plain = next(samples.batches(32)).inputs["images"]
    np.testing.assert_array_equal(plain, samples.crops.images[:32])
    one, again = (next(samples.batches(256, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(one.inputs["images"], again.inputs["images"])
    rows = np.random.default_rng(3).permutation(len(samples))[:256]
    same = (one.inputs["images"] == samples.crops.images[rows]).all((1, 2))
    assert 10 < same.sum() < 80  # an eighth
    counts = one.inputs["images"].sum((1, 2)) == samples.crops.images[rows].sum((1, 2), dtype=float)
    assert counts.all()


def test_the_metric_is_the_nearest_of_another_board():
    import visual_search

    known = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
    labels = np.array([[0, 7], [1, 8], [1, 9]])
    asked = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = visual_search.nearest_class(asked, np.array([[0, 1], [0, 7], [1, 2]]), known, labels)
    assert found.tolist() == [1.0, 0.0, 1.0]  # the second may not choose its own board


def test_the_loss_falls_as_classes_part():
    import visual_search

    labels = torch.tensor([[0, 1], [0, 2], [1, 3], [1, 4]])
    mixed = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    parted = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    worse, better = (visual_search.neighbors_loss(e, labels) for e in (mixed, parted))
    worse.backward()
    assert better < 1e-3 < 1 < worse
    assert mixed.grad.abs().sum() > 0
    alone = torch.tensor([[0, 1], [0, 1], [1, 1], [1, 1]])
    assert torch.isfinite(visual_search.neighbors_loss(parted, alone))


def test_what_is_no_compressed_network_is_not_finished(monkeypatch, capsys, tmp_path):
    import searchable

    import visual_search

    words = ["searchable.py", str(visual_search.WEIGHTS), str(tmp_path / "mine.onnx")]
    monkeypatch.setattr(sys, "argv", words)
    assert searchable.main() == 2
    assert "not one float32 input" in capsys.readouterr().err
    assert not (tmp_path / "mine.onnx").exists()


def test_the_recipe_ends_in_a_file_that_searches_through_a_session(tmp_path):
    """The steps of the recipe with a hundredth of the pictures, then the file in the product."""
    from searchable import searchable

    from deepseek_compress.recipe.job import Job
    from deepseek_compress.recipe.run import run

    (tmp_path / "few.py").write_text(FEW.format(folder=str(RECIPE.parent)))
    text = (
        RECIPE.read_text()
        .replace("visual_search.py:", "few.py:")
        .replace("epochs = 4", "epochs = 1")
    )
    text = text.replace('validation = "few.py:held_out"\n', "validation_share = 0.0\n")
    (tmp_path / "few.toml").write_text(text)
    with Job.read(tmp_path / "few.toml") as job:
        report = run(job, tmp_path / "out", resume=False, progress=lambda *_: None)
        known, asked = job.data.reference.crops, job.data.test.crops
    rows = {row.name: row.outcome for row in report.verdict}
    assert rows["macs"] == "holds"
    assert [s.step for s in report.steps][:3] == ["original", "student", "prune"]
    shipped = next(v for v in report.variants if v.shipped)
    assert shipped.int8_coverage > 0.99

    made = searchable(onnx.load(tmp_path / "out" / shipped.file), known.images)
    path = tmp_path / "mine.onnx"
    path.write_bytes(made.SerializeToString())
    network = network_of(path, tmp_path)
    there, here = (network.run(None, {"images": c.images})[0] for c in (known, asked))
    assert there.dtype == np.int8 and there.std(axis=1).min() > 0
    with Session(threads=1, cache_dir=tmp_path / "cache") as session:
        graph = session.load(path)
        assert [stage.kind for stage in graph.stages] == ["convolution", "matching"]
        bound = graph.bind(gallery=there, k=np.array([3]))
        with session.plan(bound, batch=len(asked)) as plan:
            (found,) = plan.stream([{"images": asked.images}])
    gaps = here[:, None].astype(int) - there[None].astype(int)
    distances = np.square(gaps).sum(axis=2)
    np.testing.assert_array_equal(found["distances"], np.sort(distances, axis=1)[:, :3])
    rows = np.arange(len(asked))[:, None]
    np.testing.assert_array_equal(distances[rows, found["indices"]], found["distances"])
