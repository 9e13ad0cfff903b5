"""Steps of the job without a training: what is kept, refused, answered by a part, and stopped."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("PIL")
pytest.importorskip("soundfile")

import torch
from safetensors.torch import save_file

from deepseek_core import applications, errors
from deepseek_fusion.conformance import write_table
from deepseek_fusion.job.answering import load_trained, right_of, said_of
from deepseek_fusion.job.items import without
from deepseek_fusion.job.kept import read_part, read_prepared, write_facts
from deepseek_fusion.job.layout import ABOUT, MODEL
from deepseek_fusion.job.options import Options
from deepseek_fusion.job.preparing import prepare
from deepseek_fusion.job.recipe_parts import Part, make_model
from deepseek_fusion.job.running import read_form
from deepseek_fusion.job.training import Training

OPTIONS = Options(epochs=1, batch=8, width=8, picture_size=12, seconds=0.1, longest_text=6)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A job that was prepared, and the weights of a seed as they were drawn."""
    folder = tmp_path_factory.mktemp("job")
    context = applications.ApplicationContext(folder=folder / "work")
    card = prepare(write_table(folder / "source"), context, OPTIONS)
    weights = {"modality_dropout": 0.1, "contrast": 0.1, "sort": "classes"}
    torch.manual_seed(0)
    pair = make_model(str(context.data), "gate", OPTIONS.width, weights)
    context.seed(0).mkdir()
    save_file(pair.state_dict(), context.seed(0) / "model.safetensors")
    facts = {"split_hash": card.split_hash, "join": "gate", "width": 8, "cpu_s": 0.0}
    write_facts(context.seed(0) / "trained.json", facts)
    return context


def test_parts_are_kept_with_what_was_fitted_on_the_training_part(work) -> None:
    prepared = read_prepared(work.data)
    assert prepared.form.labels == ("HIGH", "LOW")
    assert set(prepared.form.characters) == set("highlow")
    counts = [len(read_part(work.data, part)[1]) for part in ("train", "validation", "test")]
    assert sum(counts) == 30
    rows = Part(work.data, "train")
    arrays, classes = rows.batch([3, 1])
    assert len(classes) == len(arrays["text"]) == 2
    with pytest.raises(IndexError):
        rows[len(rows)]


def test_a_label_or_class_that_training_lacks_is_refused(tmp_path) -> None:
    folder = write_table(tmp_path / "source", 8)
    lines = (folder / "table.csv").read_text(encoding="utf-8").splitlines()
    named = [lines[0] + ",part", *(f"{line},train" for line in lines[1:])]
    named[-1] = named[-1].replace("LOW,train", "UNSEEN,test")
    (folder / "table.csv").write_text("\n".join(named), encoding="utf-8")
    context = applications.ApplicationContext(folder=tmp_path / "work")
    with pytest.raises(errors.InputError, match="line 9: no training row has the label 'UNSEEN'"):
        prepare(folder, context, OPTIONS)
    assert not context.data.exists()


def test_a_subset_is_asked_and_rows_without_it_get_the_fallback(work) -> None:
    prepared = read_prepared(work.data)
    network = load_trained(work.seed(0), "joined", prepared).network
    arrays, classes = read_part(work.data, "train")
    alone = without(arrays, ["picture", "sound"])
    lacking = ~(arrays["text"] != 0).any(1)
    assert lacking.any()
    for fallback in (0, 1):
        right = right_of(network, alone, classes, fallback)
        assert np.array_equal(right[lacking], classes[lacking] == fallback)
    nothing = without(alone, ["text"])
    assert right_of(network, nothing, classes, 1).mean() == (classes == 1).mean()
    said = said_of(network, {name: values[:3] for name, values in arrays.items()})
    assert np.allclose(said.logits, said_of(network, arrays).logits[:3], atol=1e-5)


def test_weights_of_another_vocabulary_or_damaged_ones_are_refused(work, tmp_path) -> None:
    prepared = read_prepared(work.data)
    kept = (work.seed(0) / "model.safetensors").read_bytes()
    write_facts(tmp_path / "trained.json", {
        "split_hash": prepared.split_hash, "join": "gate", "width": 4, "cpu_s": 0.0})  # fmt: skip
    (tmp_path / "model.safetensors").write_bytes(kept)
    with pytest.raises(errors.ArtifactError, match="another network or vocabulary"):
        load_trained(tmp_path, "joined", prepared)
    (tmp_path / "model.safetensors").write_bytes(kept[:100])
    with pytest.raises(errors.ArtifactError, match="can't be read"):
        load_trained(tmp_path, "late", prepared)
    write_facts(tmp_path / "trained.json", {"split_hash": "0" * 64, "join": "gate", "width": 8})
    with pytest.raises(errors.ArtifactError, match="other data"):
        load_trained(tmp_path, "joined", prepared)


def test_a_training_with_other_options_is_not_gone_on_with(work) -> None:
    context = applications.ApplicationContext(folder=work.folder)
    context.seed(7).mkdir()
    write_facts(context.seed(7) / "begun.json", {"split_hash": "other", "join": "gate"})
    with pytest.raises(errors.ArtifactError, match=r"rm -r .*seed-7"):
        Training(seed=7, context=context, options=OPTIONS).run()


def test_damaged_parts_are_named(work, tmp_path) -> None:
    (tmp_path / "train.npz").write_bytes(b"PK damaged")
    with pytest.raises(errors.ArtifactError, match="prepare the data again"):
        read_part(tmp_path, "train")
    (tmp_path / "form.json").write_text('{"schema": 9}', encoding="utf-8")
    with pytest.raises(errors.ArtifactError, match="another version"):
        read_prepared(tmp_path)


def test_a_model_beside_the_description_of_another_is_refused(work, tmp_path) -> None:
    form = read_prepared(work.data).form
    (tmp_path / MODEL).write_bytes(b"one")
    write_facts(tmp_path / ABOUT, {"form": form.facts(), "sha256": "0" * 64})
    with pytest.raises(errors.ArtifactError, match="of another run"):
        read_form(tmp_path)
    (tmp_path / MODEL).unlink()
    with pytest.raises(errors.ArtifactError, match="export it again"):
        read_form(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [{"width": 6}, {"epochs": 0}, {"batch": 1}, {"learning_rate": 0.0}, {"seconds": 0.0},
     {"contrast": -1.0}, {"modality_dropout": 1.0}],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(wrong) -> None:
    with pytest.raises(errors.ConfigError):
        Options(**wrong)
